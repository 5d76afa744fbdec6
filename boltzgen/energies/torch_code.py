"""Expression graphs printed as straight-line torch code: any device, any precision, no compiler needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from boltzgen.energies.algebra import Node, topological

SMALLEST_DIVISOR = (
    1e-24  # nm-based lengths and squared lengths: far below any physical one, above float32's floor
)

_TEMPLATES = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "pow": "_pow({}, {})",
    "norm": "_torch.sqrt({})",
    "guard": f"_torch.clamp({{}}, min={SMALLEST_DIVISOR!r})",
    "atan2": "_binary(_torch.atan2, {}, {})",
    "step": "({0} >= 0).to({0}.dtype)",
    "delta": "({0} == 0).to({0}.dtype)",
    "min": "_binary(_torch.minimum, {}, {})",
    "max": "_binary(_torch.maximum, {}, {})",
    "select": "_select({}, {}, {})",
}


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
    """Function of the named inputs (tensors that broadcast); outputs that are constant are plain numbers."""
    order = topological(outputs)
    positions = {name: f"a{i}" for i, name in enumerate(inputs)}
    last_use = {id(a): n for n in order for a in n.args}
    kept = {id(n) for n in outputs}
    names: dict[int, str] = {}
    lines = []
    for n in order:
        if n.op == "variable":
            names[id(n)] = positions[str(n.value)]
            continue
        if n.op == "constant":
            names[id(n)] = f"({n.value!r})"
            continue
        arguments = [names[id(a)] for a in n.args]
        if n.op == "table":
            name, orders = n.value  # type: ignore[misc, str-unpack]
            body = f"_tables[{name!r}](({', '.join(arguments)},), {orders!r})"
        else:
            body = _TEMPLATES.get(n.op, f"_torch.{n.op}({{}})").format(*arguments)
        names[id(n)] = f"v{len(names)}"
        lines.append(f"    {names[id(n)]} = {body}")
        # memory of an intermediate goes back as soon as its last reader has run
        dead = {names[id(a)] for a in n.args if last_use[id(a)] is n and id(a) not in kept}
        if temporaries := sorted(d for d in dead if d.startswith("v")):
            lines.append(f"    del {', '.join(temporaries)}")
    signature = ", ".join(positions.values())
    results = "".join(f"{names[id(n)]}, " for n in outputs)
    source = "\n".join([f"def function({signature}):", *lines, f"    return ({results})"])
    namespace: dict[str, object] = {
        "_torch": torch,
        "_pow": _pow,
        "_binary": _binary,
        "_select": _select,
        "_tables": tables or {},
        "inf": float("inf"),
        "nan": float("nan"),
    }
    exec(compile(source, "<energy expression>", "exec"), namespace)
    return namespace["function"]  # type: ignore[return-value]
