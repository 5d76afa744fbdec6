"""OpenMM's expression language (Lepton) read into expression graphs.

Grammar: ``value; name = expression; name = expression``, where a definition is seen by everything to its
left; ``+ - * / ^`` with ``^`` right-associative and binding tighter than unary minus; OpenMM's functions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from boltzgen.codegen.graphs import (
    ONE,
    Node,
    add,
    call,
    constant,
    div,
    mul,
    neg,
    node,
    power,
    select,
    sub,
    variable,
)
from boltzgen.energies.language import geometry
from boltzgen.errors import InputError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\s\d.+\-*/^(),;=][^\s+\-*/^(),;=]*)"
    r"|(?P<symbol>[+\-*/^(),]))"
)

_DEEPEST = 50  # levels of parentheses, powers of powers: each takes a few frames of Python's stack
_SHOWN = 200  # characters of an expression in an error message

_ONE_ARGUMENT = "sqrt exp log sin cos tan asin acos atan sinh cosh tanh erf erfc step delta abs floor ceil"
_FUNCTIONS: dict[str, tuple[int, Callable[..., Node]]] = {
    **{name: (1, lambda a, op=name: call(op, a)) for name in _ONE_ARGUMENT.split()},
    **{name: (2, lambda a, b, op=name: call(op, a, b)) for name in ("atan2", "min", "max")},
    "sec": (1, lambda a: div(ONE, call("cos", a))),
    "csc": (1, lambda a: div(ONE, call("sin", a))),
    "cot": (1, lambda a: div(ONE, call("tan", a))),
    "square": (1, lambda a: mul(a, a)),
    "cube": (1, lambda a: mul(mul(a, a), a)),
    "recip": (1, lambda a: div(ONE, a)),
    "select": (3, select),
    "pow": (2, power),
}


@dataclass(frozen=True)
class Scope:
    """What an expression may refer to.

    names: variables (parameters, coordinates) and the graphs they stand for;
    particles: how many particles ``p1 … pn`` geometric functions may name;
    tables: name -> number of arguments of each tabulated function.
    """

    names: Mapping[str, Node]
    particles: int = 0
    tables: Mapping[str, int] | None = None


def parse(text: str, scope: Scope) -> Node:
    """Graph of an OpenMM expression. Raises InputError naming what was not understood."""
    value, *definitions = (part for part in text.split(";"))
    defined: dict[str, Node] = {}
    for definition in reversed(definitions):
        if not definition.strip():
            continue
        name, equals, body = definition.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"expression {text!r}: {definition.strip()!r} is not of the form name = expression"
            )
        defined[name.strip()] = _Parser(text, body, scope, defined).parse()
    return _Parser(text, value, scope, defined).parse()


class _Parser:
    """Precedence climbing over the tokens of one sub-expression."""

    def __init__(self, whole: str, body: str, scope: Scope, defined: Mapping[str, Node]) -> None:
        self.whole, self.scope, self.defined = whole, scope, defined
        self.tokens: list[tuple[str, str]] = []
        at, body = 0, body.rstrip()
        while at < len(body):
            match = _TOKEN.match(body, at)
            if match is None:
                raise self._error(f"{body[at:].strip()[:20]!r} is not understood")
            self.tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            at = match.end()
        self.at = self.depth = 0

    def parse(self) -> Node:
        result = self._binary(0)
        if self.at < len(self.tokens):
            raise self._error(f"{self.tokens[self.at][1]!r} is not expected there")
        return result

    def _error(self, reason: str) -> InputError:
        shown = self.whole if len(self.whole) <= _SHOWN else self.whole[:_SHOWN] + " …"
        return InputError(f"expression {shown!r}: {reason}")

    def _peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def _take(self, symbol: str) -> None:
        if self._peek() != symbol:
            raise self._error(f"{symbol!r} expected where {self._peek() or 'the end'!r} stands")
        self.at += 1

    def _binary(self, precedence: int) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._error(f"it is nested more than {_DEEPEST} deep; name its parts by definitions")
        left = self._unary()
        while True:
            symbol = self._peek()
            level = _PRECEDENCE.get(symbol, -1)
            if level < precedence:
                self.depth -= 1
                return left
            self.at += 1
            right = self._binary(level if symbol == "^" else level + 1)
            left = _OPERATORS[symbol](left, right)

    def _unary(self) -> Node:
        if self._peek() == "-" and self.tokens[self.at][0] == "symbol":
            self.at += 1
            return neg(self._binary(_UNARY_MINUS))
        return self._primary()

    def _primary(self) -> Node:
        if self.at >= len(self.tokens):
            raise self._error("it ends too early")
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "number":
            if math.isinf(float(text)):
                raise self._error(f"the number {text} is too large")
            return constant(float(text))
        if text == "(":
            inner = self._binary(0)
            self._take(")")
            return inner
        if kind == "symbol":
            raise self._error(f"{text!r} is not expected there")
        return self._function(text) if self._peek() == "(" else self._name(text)

    def _name(self, name: str) -> Node:
        if name in self.defined:
            return self.defined[name]
        if name in self.scope.names:
            return self.scope.names[name]
        raise self._error(f"the variable {name!r} is neither defined in it nor a parameter of the force")

    def _function(self, name: str) -> Node:
        tables = self.scope.tables or {}
        if name in tables:
            arguments = self._arguments(name, tables[name])
            return node("table", arguments, (name, (0,) * len(arguments)))
        if name in geometry.OF_PARTICLES and self.scope.particles:
            count, function = geometry.OF_PARTICLES[name]
            return function(*self._particles(name, count))
        if name in geometry.OF_POINTS and self.scope.particles:
            count, function = geometry.OF_POINTS[name]
            flat = self._arguments(name, 3 * count)
            return function(*(tuple(flat[3 * i : 3 * i + 3]) for i in range(count)))
        if name in _FUNCTIONS:
            count, function = _FUNCTIONS[name]
            return function(*self._arguments(name, count))
        raise self._error(f"the function {name!r} is not known")

    def _arguments(self, name: str, count: int) -> list[Node]:
        self._take("(")
        arguments = [self._binary(0)]
        while self._peek() == ",":
            self.at += 1
            arguments.append(self._binary(0))
        self._take(")")
        if len(arguments) != count:
            raise self._error(f"{name} takes {count} argument(s), not {len(arguments)}")
        return arguments

    def _particles(self, name: str, count: int) -> list[geometry.Vector]:
        known = {f"p{i}": geometry.position(i) for i in range(1, self.scope.particles + 1)}
        self._take("(")
        chosen = []
        for index in range(count):
            if index:
                self._take(",")
            particle = self._peek()
            if particle not in known:
                raise self._error(
                    f"{name} takes {count} of the particles {', '.join(known)}, not {particle!r}"
                )
            chosen.append(known[particle])
            self.at += 1
        self._take(")")
        return chosen


_PRECEDENCE = {"+": 0, "-": 0, "*": 1, "/": 1, "^": 3}
_UNARY_MINUS = 2
_OPERATORS: dict[str, Callable[[Node, Node], Node]] = {"+": add, "-": sub, "*": mul, "/": div, "^": power}


def coordinate_names(particles: int) -> dict[str, Node]:
    """x1, y1, z1, x2, … of ``particles`` particles."""
    return {f"{axis}{i}": variable(f"{axis}{i}") for i in range(1, particles + 1) for axis in "xyz"}
