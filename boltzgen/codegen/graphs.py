"""Expression graphs: shared nodes, simplified as they are built.

A node is interned: the same operation on the same arguments is the same object, so common subexpressions
are found for free and a graph prints to straight-line code (torch or C++) with one line a node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from boltzgen.codegen.operators import OPERATORS

_interned: WeakValueDictionary[tuple[Any, ...], Node] = WeakValueDictionary()


class Node:
    """One operation of an expression graph; ``value`` is a constant's number or a variable's name."""

    __slots__ = ("__weakref__", "args", "op", "value")

    def __init__(self, op: str, args: tuple[Node, ...], value: float | str | tuple[Any, ...] | None) -> None:
        self.op, self.args, self.value = op, args, value

    def __add__(self, other: Node | float) -> Node:
        return add(self, as_node(other))

    def __radd__(self, other: float) -> Node:
        return add(as_node(other), self)

    def __sub__(self, other: Node | float) -> Node:
        return sub(self, as_node(other))

    def __rsub__(self, other: float) -> Node:
        return sub(as_node(other), self)

    def __mul__(self, other: Node | float) -> Node:
        return mul(self, as_node(other))

    def __rmul__(self, other: float) -> Node:
        return mul(as_node(other), self)

    def __truediv__(self, other: Node | float) -> Node:
        return div(self, as_node(other))

    def __neg__(self) -> Node:
        return neg(self)

    @property
    def constant(self) -> float | None:
        """The number this node always is, or None."""
        return float(self.value) if self.op == "constant" else None  # type: ignore[arg-type]


def node(op: str, args: Sequence[Node] = (), value: float | str | tuple[Any, ...] | None = None) -> Node:
    """The one node with this operation, arguments and value.

    Parameters
    ----------
    op
        Name of the operation.
    args
        Nodes of the arguments.
    value
        Number of a constant, name of a variable, or name and orders of a tabulated function.

    Returns
    -------
    Node
        The same object for the same arguments.
    """
    # repr keeps -0.0 and 0.0 apart; the type keeps a variable's name and a number apart
    key = (op, tuple(id(a) for a in args), type(value), repr(value))
    found = _interned.get(key)
    if found is None:
        found = _interned[key] = Node(op, tuple(args), value)
    return found


def constant(value: float) -> Node:
    """The node of a number.

    Parameters
    ----------
    value
        The number.

    Returns
    -------
    Node
        The same object for the same number.
    """
    return node("constant", (), float(value))


def as_node(value: Node | float) -> Node:
    """The node itself, or the constant of a number.

    Parameters
    ----------
    value
        A node or a number.

    Returns
    -------
    Node
        The node.
    """
    return value if isinstance(value, Node) else constant(value)


def variable(name: str) -> Node:
    """The node of a variable.

    Parameters
    ----------
    name
        The variable's name.

    Returns
    -------
    Node
        The same object for the same name.
    """
    return node("variable", (), name)


ZERO, ONE = constant(0.0), constant(1.0)


def add(a: Node, b: Node) -> Node:
    """a + b, simplified where one is zero or negated."""
    if a is ZERO:
        return b
    if b is ZERO:
        return a
    if b.op == "neg":
        return sub(a, b.args[0])
    if a.op == "neg":
        return sub(b, a.args[0])
    return _folded("add", a, b)


def sub(a: Node, b: Node) -> Node:
    """a − b, simplified where one is zero or b is negated."""
    if b is ZERO:
        return a
    if a is ZERO:
        return neg(b)
    if b.op == "neg":
        return add(a, b.args[0])
    return _folded("sub", a, b)


def mul(a: Node, b: Node) -> Node:
    """a · b with a constant factor in front; simplified where one is 0, 1, −1 or negated."""
    if a.constant is None and b.constant is not None:
        a, b = b, a
    if a is ZERO:
        return ZERO
    if a is ONE:
        return b
    if a.constant == -1.0:
        return neg(b)
    if a.op == "neg":
        return neg(mul(a.args[0], b))
    if b.op == "neg":
        return neg(mul(a, b.args[0]))
    if a.constant is not None and b.op == "mul" and b.args[0].constant is not None:
        return mul(constant(a.constant * b.args[0].constant), b.args[1])
    return _folded("mul", a, b)


def div(a: Node, b: Node) -> Node:
    """a / b, simplified where a is 0 or negated, or b is 1."""
    if b is ONE:
        return a
    if a is ZERO and b.constant != 0.0:
        return ZERO
    if a.op == "neg":
        return neg(div(a.args[0], b))
    return _folded("div", a, b)


def neg(a: Node) -> Node:
    """−a; a second negation undoes the first."""
    return a.args[0] if a.op == "neg" else _folded("neg", a)


def power(a: Node, b: Node) -> Node:
    """a^b; small integer exponents become multiplications, as in OpenMM's Lepton.

    Parameters
    ----------
    a, b
        The operands.

    Returns
    -------
    Node
        The simplified node.
    """
    exponent = b.constant
    if exponent is None or a.constant is not None:
        return _folded("pow", a, b)
    if exponent == 0.5:
        return call("sqrt", a)
    if exponent == int(exponent) and abs(exponent) <= 64:
        result, square, remaining = ONE, a, abs(int(exponent))
        while remaining:
            if remaining & 1:
                result = mul(result, square)
            remaining >>= 1
            if remaining:
                square = mul(square, square)
        return result if exponent >= 0 else div(ONE, result)
    return node("pow", (a, b))


def call(op: str, *args: Node) -> Node:
    """A function of one or more nodes, folded when all are constants.

    Parameters
    ----------
    op
        Name of an operation of ``OPERATORS``.
    args
        Its arguments.

    Returns
    -------
    Node
        A constant where the value is finite and known, else a node of the operation.
    """
    return _folded(op, *args)


def select(condition: Node, then: Node, otherwise: Node) -> Node:
    """``then`` where the condition is not zero, else ``otherwise``.

    Parameters
    ----------
    condition, then, otherwise
        The three arguments.

    Returns
    -------
    Node
        One of the branches where the condition is constant or both are the same.
    """
    if condition.constant is not None:
        return then if condition.constant != 0.0 else otherwise
    return then if then is otherwise else node("select", (condition, then, otherwise))


def _number(op: str, arguments: Sequence[float]) -> float:
    """The operator's value, NaN where it has no real one."""
    try:
        return float(OPERATORS[op].value(*arguments))
    except (ValueError, ZeroDivisionError, OverflowError, TypeError):
        return math.nan


def _folded(op: str, *args: Node) -> Node:
    numbers = [a.constant for a in args if a.constant is not None]
    if len(numbers) == len(args):
        result = _number(op, numbers)
        # what is not finite stays in the graph, and meets the positions at run time
        if math.isfinite(result):
            return constant(result)
    return node(op, args)


def topological(roots: Iterable[Node]) -> list[Node]:
    """Order the nodes of graphs so that arguments come before their users.

    Parameters
    ----------
    roots
        The outputs.

    Returns
    -------
    list of Node
        Every node that the roots need, once each.
    """
    order: list[Node] = []
    done: set[int] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        current, expanded = stack.pop()
        if id(current) in done:
            continue
        if expanded:
            done.add(id(current))
            order.append(current)
        else:
            stack.append((current, True))
            stack.extend((a, False) for a in reversed(current.args) if id(a) not in done)
    return order


def variables(root: Node) -> set[str]:
    """Names of the variables a graph reads.

    Parameters
    ----------
    root
        The output.

    Returns
    -------
    set of str
        The names.
    """
    return {str(n.value) for n in topological([root]) if n.op == "variable"}
