"""The operators of expression graphs: one table of what each computes, its derivative and how it is printed.

Everything that handles graphs reads this table: constant folding uses ``value``, differentiation uses
``derivatives`` and the printers use ``torch`` and ``cpp``. An operator is therefore added in one place.
Derivative rules are written for anything that has arithmetic operators, so that they apply to graphs and,
in tests, to plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SMALLEST_DIVISOR = 1e-24
"""Lower bound of guarded divisors, which are lengths in nm or squared lengths: far below any physical one,
and above the smallest normal number of single precision."""

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)

Rule = Callable[..., Any]
"""``rule(m, g, f, *arguments)`` is g · ∂f/∂argument, where ``m`` offers the operators as functions and ``f``
is the operator's value at the arguments."""


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes
    ----------
    value
        Function of Python numbers. It may raise where it has no real value.
    derivatives
        A rule for each argument.
    torch
        Format of the torch expression, of the arguments' names.
    cpp
        Format of the C++ expression on one lane, of the arguments' names. It uses only the type ``T`` and
        functions ``name_`` that a prelude defines, so that other dialects of C++ can print it as well.
    """

    value: Callable[..., float]
    derivatives: tuple[Rule, ...]
    torch: str
    cpp: str

    @property
    def arity(self) -> int:
        """Number of arguments."""
        return len(self.derivatives)


def _function(value: Callable[[float], float], rule: Rule, name: str = "") -> Operator:
    """A function of one argument that torch and the C++ prelude have under the same name."""
    name = name or value.__name__
    return Operator(value, (rule,), f"_torch.{name}({{}})", f"{name}_({{}})")


def _zero(m: Any, g: Any, f: Any, *arguments: Any) -> Any:
    return m.zero


_STEP = "({0} >= 0).to({0}.dtype)"
_EQUAL = "({0} == 0).to({0}.dtype)"

OPERATORS: dict[str, Operator] = {
    "add": Operator(lambda a, b: a + b, (lambda m, g, f, a, b: g,) * 2, "{} + {}", "{} + {}"),
    "sub": Operator(
        lambda a, b: a - b, (lambda m, g, f, a, b: g, lambda m, g, f, a, b: -g), "{} - {}", "{} - {}"
    ),
    "mul": Operator(
        lambda a, b: a * b, (lambda m, g, f, a, b: g * b, lambda m, g, f, a, b: g * a), "{} * {}", "{} * {}"
    ),
    "div": Operator(
        lambda a, b: a / b,
        (lambda m, g, f, a, b: g / b, lambda m, g, f, a, b: -(g / b * f)),
        "{} / {}",
        "{} / {}",
    ),
    "neg": Operator(lambda a: -a, (lambda m, g, f, a: -g,), "-{}", "-{}"),
    "pow": Operator(
        lambda a, b: a**b,
        (lambda m, g, f, a, b: g * (b * m.pow(a, b - 1.0)), lambda m, g, f, a, b: g * (f * m.log(a))),
        "_pow({}, {})",
        "pow_({}, {})",
    ),
    "sqrt": _function(math.sqrt, lambda m, g, f, a: 0.5 * g / f),
    # The length of a vector from its square. The derivative at zero is bounded, so that coincident or
    # collinear atoms have finite forces.
    "norm": Operator(math.sqrt, (lambda m, g, f, a: 0.5 * g / m.guard(f),), "_torch.sqrt({})", "sqrt_({})"),
    "guard": Operator(
        lambda a: max(a, SMALLEST_DIVISOR),
        (lambda m, g, f, a: m.select(m.step(a - SMALLEST_DIVISOR), g, m.zero),),
        f"_torch.clamp({{}}, min={SMALLEST_DIVISOR!r})",
        f"max_({{}}, T({SMALLEST_DIVISOR!r}))",
    ),
    "exp": _function(math.exp, lambda m, g, f, a: g * f),
    "log": _function(math.log, lambda m, g, f, a: g / a),
    "sin": _function(math.sin, lambda m, g, f, a: g * m.cos(a)),
    "cos": _function(math.cos, lambda m, g, f, a: -(g * m.sin(a))),
    "tan": _function(math.tan, lambda m, g, f, a: g * (1.0 + f * f)),
    "asin": _function(math.asin, lambda m, g, f, a: g / m.sqrt(1.0 - a * a)),
    "acos": _function(math.acos, lambda m, g, f, a: -(g / m.sqrt(1.0 - a * a))),
    "atan": _function(math.atan, lambda m, g, f, a: g / (1.0 + a * a)),
    # Of (y, x). Guarded, because three atoms in a line have y = x = 0 and finite forces.
    "atan2": Operator(
        math.atan2,
        (
            lambda m, g, f, a, b: g / m.guard(b * b + a * a) * b,
            lambda m, g, f, a, b: -(g / m.guard(b * b + a * a) * a),
        ),
        "_binary(_torch.atan2, {}, {})",
        "atan2_({}, {})",
    ),
    "sinh": _function(math.sinh, lambda m, g, f, a: g * m.cosh(a)),
    "cosh": _function(math.cosh, lambda m, g, f, a: g * m.sinh(a)),
    "tanh": _function(math.tanh, lambda m, g, f, a: g * (1.0 - f * f)),
    "erf": _function(math.erf, lambda m, g, f, a: g * (_TWO_OVER_ROOT_PI * m.exp(-(a * a)))),
    "erfc": _function(math.erfc, lambda m, g, f, a: -(g * (_TWO_OVER_ROOT_PI * m.exp(-(a * a))))),
    "step": Operator(lambda a: 1.0 if a >= 0 else 0.0, (_zero,), _STEP, "({} >= T(0) ? T(1) : T(0))"),
    "delta": Operator(lambda a: 1.0 if a == 0 else 0.0, (_zero,), _EQUAL, "({} == T(0) ? T(1) : T(0))"),
    "floor": _function(math.floor, _zero),
    "ceil": _function(math.ceil, _zero),
    "abs": Operator(abs, (lambda m, g, f, a: m.select(m.step(a), g, -g),), "_torch.abs({})", "fabs_({})"),
    "min": Operator(
        min,
        (
            lambda m, g, f, a, b: m.select(m.step(b - a), g, m.zero),
            lambda m, g, f, a, b: m.select(m.step(b - a), m.zero, g),
        ),
        "_binary(_torch.minimum, {}, {})",
        "min_({}, {})",
    ),
    "max": Operator(
        max,
        (
            lambda m, g, f, a, b: m.select(m.step(a - b), g, m.zero),
            lambda m, g, f, a, b: m.select(m.step(a - b), m.zero, g),
        ),
        "_binary(_torch.maximum, {}, {})",
        "max_({}, {})",
    ),
    # The second argument where the first is not zero, else the third.
    "select": Operator(
        lambda a, b, c: b if a != 0 else c,
        (
            _zero,
            lambda m, g, f, a, b, c: m.select(a, g, m.zero),
            lambda m, g, f, a, b, c: m.select(a, m.zero, g),
        ),
        "_select({}, {}, {})",
        "({} != T(0) ? {} : {})",
    ),
}
