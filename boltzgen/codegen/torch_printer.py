"""Expression graphs printed as straight-line torch code: any device, any precision, no compiler needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from boltzgen.codegen.graphs import Node, topological
from boltzgen.codegen.operators import OPERATORS


def _tensors(*arguments: Tensor | float) -> list[Tensor]:
    like = next(a for a in arguments if isinstance(a, Tensor))
    return [
        a if isinstance(a, Tensor) else torch.full((), a, dtype=like.dtype, device=like.device)
        for a in arguments
    ]


def _binary(function: Callable[..., Tensor], a: Tensor | float, b: Tensor | float) -> Tensor:
    return function(*_tensors(a, b))


def _pow(a: Tensor | float, b: Tensor | float) -> Tensor:
    return torch.pow(a, b)  # type: ignore[arg-type]


def _select(condition: Tensor, then: Tensor | float, otherwise: Tensor | float) -> Tensor:
    condition, then, otherwise = _tensors(condition, then, otherwise)
    return torch.where(condition != 0, then, otherwise)


def torch_function(
    outputs: Sequence[Node], inputs: Sequence[str], tables: Mapping[str, Callable[..., Tensor]] | None = None
) -> Callable[..., tuple[Tensor | float, ...]]:
    """Compile graphs to a Python function of tensors.

    Parameters
    ----------
    outputs
        The graphs to evaluate.
    inputs
        Names of the function's arguments, which are tensors that broadcast against each other.
    tables
        For each tabulated function, the function of its arguments and derivative orders.

    Returns
    -------
    function
        It returns a value for each output; those that are constant are plain numbers.
    """
    positions = {name: f"a{i}" for i, name in enumerate(inputs)}
    namespace: dict[str, object] = {
        "_torch": torch,
        "_pow": _pow,
        "_binary": _binary,
        "_select": _select,
        "_tables": tables or {},
        "inf": float("inf"),
        "nan": float("nan"),
    }
    names, lines = _statements(outputs, positions, namespace)
    results = "".join(f"{names[id(n)]}, " for n in outputs)
    source = "\n".join([f"def function({', '.join(positions.values())}):", *lines, f"    return ({results})"])
    exec(compile(source, "<energy expression>", "exec"), namespace)
    return namespace["function"]  # type: ignore[return-value]


def _statements(
    outputs: Sequence[Node], positions: Mapping[str, str], namespace: dict[str, object]
) -> tuple[dict[int, str], list[str]]:
    """The name or number of every node, and the lines that assign the names."""
    order = topological(outputs)
    last_use = {id(a): n for n in order for a in n.args}
    kept = {id(n) for n in outputs}
    names: dict[int, str] = {}
    numbers: dict[int, float] = {}
    lines = []
    for n in order:
        if n.op == "variable":
            names[id(n)] = positions[str(n.value)]
        elif n.op == "constant":
            numbers[id(n)] = float(n.value)  # type: ignore[arg-type]
            names[id(n)] = f"({numbers[id(n)]!r})"
        elif all(id(a) in numbers for a in n.args):  # not folded: a table, or no finite number
            constants = {
                f"c{i}": torch.tensor(numbers[id(a)], dtype=torch.float64) for i, a in enumerate(n.args)
            }
            numbers[id(n)] = float(eval(_body(n, list(constants)), {**namespace, **constants}))
            names[id(n)] = f"({numbers[id(n)]!r})"
        else:
            body = _body(n, [names[id(a)] for a in n.args])
            names[id(n)] = f"v{len(names)}"
            lines.append(f"    {names[id(n)]} = {body}")
            # memory of an intermediate goes back as soon as its last reader has run
            dead = {names[id(a)] for a in n.args if last_use[id(a)] is n and id(a) not in kept}
            if temporaries := sorted(d for d in dead if d.startswith("v")):
                lines.append(f"    del {', '.join(temporaries)}")
    return names, lines


def _body(n: Node, arguments: Sequence[str]) -> str:
    """The torch expression of one node."""
    if n.op == "table":
        name, orders = n.value  # type: ignore[misc, str-unpack]
        return f"_tables[{name!r}](({', '.join(arguments)},), {orders!r})"
    return OPERATORS[n.op].torch.format(*arguments)
