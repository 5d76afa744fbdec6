"""Exact derivatives of expression graphs, as graphs: reverse accumulation, one rule for each operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from boltzgen.energies.algebra import (
    ONE,
    ZERO,
    Node,
    add,
    call,
    constant,
    neg,
    node,
    power,
    select,
    topological,
    variable,
)


def gradient(root: Node, names: Sequence[str]) -> list[Node]:
    """∂root/∂name for each name, as graphs (reverse accumulation; one pass for all names)."""
    wanted = set(names)
    order = topological([root])
    active: set[int] = set()
    for current in order:
        if (current.op == "variable" and current.value in wanted) or any(
            id(a) in active for a in current.args
        ):
            active.add(id(current))
    adjoint: dict[int, Node] = {id(root): ONE}
    for current in reversed(order):
        received = adjoint.get(id(current))
        if received is None or id(current) not in active or not current.args:
            continue
        for index, argument in enumerate(current.args):
            if id(argument) in active:
                share = _chain(current, index, received)
                adjoint[id(argument)] = add(adjoint.get(id(argument), ZERO), share)
    return [adjoint.get(id(variable(name)), ZERO) for name in names]


def _chain(n: Node, index: int, received: Node) -> Node:
    """received · ∂n/∂(argument ``index``)."""
    rule = _DERIVATIVES.get(n.op)
    if rule is None:
        raise NotImplementedError(f"no derivative for the operation {n.op!r}")
    return rule(n, index, received)


def _derivative_of_power(n: Node, index: int, received: Node) -> Node:
    base, exponent = n.args
    if index == 0:
        return received * (exponent * power(base, exponent - ONE))
    return received * (n * call("log", base))


def _derivative_of_atan2(n: Node, index: int, received: Node) -> Node:
    y, x = n.args
    # guarded: at y = x = 0 (three atoms in a line) the derivative is finite
    scale = received / call("guard", x * x + y * y)
    return scale * x if index == 0 else neg(scale * y)


def _derivative_of_table(n: Node, index: int, received: Node) -> Node:
    name, orders = n.value  # type: ignore[misc, str-unpack]
    raised = tuple(order + (position == index) for position, order in enumerate(orders))
    return received * node("table", n.args, (name, raised))


def _derivative_of_extremum(n: Node, index: int, received: Node) -> Node:
    a, b = n.args
    first_is_taken = call("step", b - a) if n.op == "min" else call("step", a - b)
    return select(first_is_taken, *((received, ZERO) if index == 0 else (ZERO, received)))


_TWO_OVER_ROOT_PI = constant(2.0 / math.sqrt(math.pi))
_Rule = Callable[[Node, int, Node], Node]
_DERIVATIVES: dict[str, _Rule] = {
    "add": lambda n, i, g: g,
    "sub": lambda n, i, g: g if i == 0 else neg(g),
    "mul": lambda n, i, g: g * n.args[1 - i],
    "div": lambda n, i, g: g / n.args[1] if i == 0 else neg(g / n.args[1] * n),
    "neg": lambda n, i, g: neg(g),
    "pow": _derivative_of_power,
    "sqrt": lambda n, i, g: constant(0.5) * g / n,
    # a length: its derivative at zero is bounded, so that coincident or collinear atoms give finite forces
    "norm": lambda n, i, g: constant(0.5) * g / call("guard", n),
    "exp": lambda n, i, g: g * n,
    "log": lambda n, i, g: g / n.args[0],
    "sin": lambda n, i, g: g * call("cos", n.args[0]),
    "cos": lambda n, i, g: neg(g * call("sin", n.args[0])),
    "tan": lambda n, i, g: g * (ONE + n * n),
    "asin": lambda n, i, g: g / call("sqrt", ONE - n.args[0] * n.args[0]),
    "acos": lambda n, i, g: neg(g / call("sqrt", ONE - n.args[0] * n.args[0])),
    "atan": lambda n, i, g: g / (ONE + n.args[0] * n.args[0]),
    "atan2": _derivative_of_atan2,
    "sinh": lambda n, i, g: g * call("cosh", n.args[0]),
    "cosh": lambda n, i, g: g * call("sinh", n.args[0]),
    "tanh": lambda n, i, g: g * (ONE - n * n),
    "erf": lambda n, i, g: g * (_TWO_OVER_ROOT_PI * call("exp", neg(n.args[0] * n.args[0]))),
    "erfc": lambda n, i, g: neg(g * (_TWO_OVER_ROOT_PI * call("exp", neg(n.args[0] * n.args[0])))),
    "step": lambda n, i, g: ZERO,
    "delta": lambda n, i, g: ZERO,
    "floor": lambda n, i, g: ZERO,
    "ceil": lambda n, i, g: ZERO,
    "abs": lambda n, i, g: select(call("step", n.args[0]), g, neg(g)),
    "min": _derivative_of_extremum,
    "max": _derivative_of_extremum,
    "select": lambda n, i, g: select(n.args[0], g if i == 1 else ZERO, g if i == 2 else ZERO) if i else ZERO,
    "table": _derivative_of_table,
}
