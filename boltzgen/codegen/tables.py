"""Tabulated functions: piecewise polynomials on uniform grids of one to three dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from boltzgen.errors import InputError


@dataclass(frozen=True)
class Table:
    """f(x, …) = Σ c[cell, i, …] tⁱ … with t in [0, 1] within a cell; degree 0 is a value at each integer.

    Outside its range the function is zero.

    Parameters
    ----------
    coefficients
        float64 [cells of each axis …, degree + 1 of each axis …].
    lower
        Lower limit of each axis.
    spacing
        Width of a cell of each axis.
    periodic
        Whether arguments wrap around.

    Raises
    ------
    InputError
        Where the coefficients are of another shape.
    """

    coefficients: Tensor
    lower: tuple[float, ...]
    spacing: tuple[float, ...]
    periodic: bool = False

    def __post_init__(self) -> None:
        shape, axes = tuple(self.coefficients.shape), len(self.lower)
        if len(self.spacing) != axes or len(shape) != 2 * axes or len(set(shape[axes:])) != 1 or 0 in shape:
            raise InputError(
                f"a table of {axes} axes has coefficients of shape {shape}; "
                "give the cells of each axis, then as many coefficients along each"
            )

    @property
    def dimension(self) -> int:
        """Number of arguments."""
        return len(self.lower)

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of cells of each axis."""
        return tuple(self.coefficients.shape[: self.dimension])

    @property
    def degree(self) -> int:
        """Degree of the polynomials in each argument."""
        return self.coefficients.shape[-1] - 1

    def to(self, dtype: torch.dtype, device: torch.device) -> Table:
        """The table with its coefficients in another precision or on another device.

        Parameters
        ----------
        dtype
            Precision of the coefficients.
        device
            Device of the coefficients.

        Returns
        -------
        Table
            A new table.
        """
        return replace(self, coefficients=self.coefficients.to(device=device, dtype=dtype))

    def evaluate(self, arguments: Sequence[Tensor | float], orders: Sequence[int]) -> Tensor:
        """Evaluate the function or a derivative of it.

        Parameters
        ----------
        arguments
            Tensors that broadcast with each other, or numbers; at least one is a tensor.
        orders
            Order of the derivative by each argument, 0 or 1.

        Returns
        -------
        Tensor
            Of the arguments' common shape, and of the first tensor's precision and device.
        """
        like = next(a for a in arguments if isinstance(a, Tensor))
        points = torch.broadcast_tensors(
            *(torch.as_tensor(a, dtype=like.dtype, device=like.device) for a in arguments)
        )
        inside = torch.ones_like(points[0], dtype=torch.bool)
        flat = torch.zeros_like(points[0], dtype=torch.int64)
        weights = []
        for point, low, step, count, order in zip(
            points, self.lower, self.spacing, self.cells, orders, strict=True
        ):
            u = (point - low) / step
            if self.periodic:
                u = u - count * torch.floor(u / count)
            u = torch.floor(u + 0.5) if self.degree == 0 else u
            inside &= (u >= 0) & (u <= (count - 1 if self.degree == 0 else count))
            cell = torch.nan_to_num(torch.floor(u)).clamp(0, count - 1).to(torch.int64)
            flat = flat * count + cell
            weights.append(self._powers(u - cell, order, step))
        table = self.coefficients.to(device=like.device, dtype=like.dtype).reshape(
            -1, *self.coefficients.shape[self.dimension :]
        )
        value = table[flat]
        for weight in reversed(weights):
            value = (value * weight.reshape(*weight.shape[:-1], *[1] * (value.ndim - weight.ndim), -1)).sum(
                -1
            )
        return torch.where(inside, value, torch.zeros_like(value))

    def _powers(self, t: Tensor, order: int, step: float) -> Tensor:
        """[1, t, t², …], or their derivatives by the argument."""
        if order == 0:
            return torch.stack([t**i for i in range(self.degree + 1)], dim=-1)
        return torch.stack(
            [torch.zeros_like(t), *(i * t ** (i - 1) / step for i in range(1, self.degree + 1))], -1
        )

    def state(self) -> dict[str, Any]:
        """Arguments that build the table again."""
        return asdict(self)

    def packed(self) -> Tensor:
        """float64 block for generated code: lower, 1/spacing, cells of each axis, then the coefficients."""
        header = [
            number
            for low, step, count in zip(self.lower, self.spacing, self.cells, strict=True)
            for number in (low, 1.0 / step, float(count))
        ]
        return torch.cat([torch.tensor(header, dtype=torch.float64), self.coefficients.flatten()])


def pack(tables: Mapping[str, Table]) -> tuple[Tensor, dict[str, int]]:
    """All tables in one block, and where each starts.

    Parameters
    ----------
    tables
        Tabulated functions by name.

    Returns
    -------
    block, offsets
        float64 [numbers], of which the first is not used; and the start of each table by name.
    """
    offsets, blocks, at = {}, [torch.zeros(1, dtype=torch.float64)], 1
    for name, table in tables.items():
        offsets[name] = at
        blocks.append(table.packed())
        at += len(blocks[-1])
    return torch.cat(blocks), offsets
