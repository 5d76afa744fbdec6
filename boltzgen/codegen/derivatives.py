"""Exact derivatives of expression graphs, as graphs: reverse accumulation by the operators' rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from boltzgen.codegen.graphs import ONE, ZERO, Node, add, call, node, power, select, topological, variable
from boltzgen.codegen.operators import OPERATORS


def gradient(root: Node, names: Sequence[str]) -> list[Node]:
    """Derivatives of a graph as graphs, by reverse accumulation: one pass for all variables.

    Parameters
    ----------
    root
        The graph to differentiate.
    names
        Names of the variables.

    Returns
    -------
    list of Node
        ∂root/∂name for each name; ``ZERO`` where the graph does not depend on it.
    """
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


class _Functions:
    """The operators as functions of nodes: what derivative rules call."""

    zero = ZERO
    pow = staticmethod(power)
    select = staticmethod(select)

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if name not in OPERATORS:
            raise AttributeError(name)
        return partial(call, name)


_FUNCTIONS = _Functions()


def _chain(n: Node, index: int, received: Node) -> Node:
    """received · ∂n/∂(argument ``index``)."""
    if n.op == "table":
        name, orders = n.value  # type: ignore[misc, str-unpack]
        raised = tuple(order + (position == index) for position, order in enumerate(orders))
        return received * node("table", n.args, (name, raised))
    return OPERATORS[n.op].derivatives[index](_FUNCTIONS, received, n, *n.args)
