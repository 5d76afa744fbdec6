"""Results of the operators by shape alone, as ``torch.compile`` asks for them; nothing is computed.

Arguments are those of the operators in ``operators``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from boltzgen.codegen.torch_operators import Outputs


def _state(state: Tensor) -> Tensor:
    return state.new_empty(state.shape[1], state.shape[0]).t()


def coupling(
    torsions: Tensor,
    stiff: Tensor,
    moved: Tensor,
    kept: Tensor,
    folded: Tensor,
    fold: Tensor,
    kept_stiff: Tensor,
    periodic: bool,
    inverse: bool,
    bias: Tensor,
    last: Tensor,
    network: list[Tensor],
) -> Outputs:
    """Of a coupling: the new state, its log-determinant, and what its backward needs."""
    batch = torsions.shape[0]
    made = stiff.new_empty(2 * len(kept) + len(folded) + len(kept_stiff), batch)
    inside = [stiff.new_empty(len(offset), batch) for offset in network[1::2] for _ in range(2)]
    state = torsions if periodic else stiff
    return _state(state), state.new_empty(batch), stiff.new_empty(len(bias), batch), made, inside


def coupling_backward(
    by_result: Tensor,
    by_log_det: Tensor,
    torsions: Tensor,
    stiff: Tensor,
    moved: Tensor,
    kept: Tensor,
    folded: Tensor,
    fold: Tensor,
    kept_stiff: Tensor,
    periodic: bool,
    inverse: bool,
    learns: bool,
    last: Tensor,
    raw: Tensor,
    made: Tensor,
    weights: list[Tensor],
    inside: list[Tensor],
) -> Outputs:
    """Of the backward of a coupling: gradients by both states and by the parameters."""

    def of(*shape: int) -> Tensor:
        return stiff.new_empty(*shape) if learns else stiff.new_empty(0)

    by_network = [of(*shape) for w in weights for shape in (w.shape, w.shape[:1])] if learns else []
    return _state(torsions), _state(stiff), of(len(raw)), of(*last.shape), by_network


def layer(state: Tensor, *_: object) -> Outputs:
    """Of a spline or an affine layer: the new state and its log-determinant."""
    return _state(state), state.new_empty(len(state))


def layer_backward(
    by_result: Tensor, by_log_det: Tensor, state: Tensor, raw: Tensor, *others: Any
) -> Outputs:
    """Of the backward of a layer: gradients by the state and by what the network gives."""
    *_, learns = others
    return _state(state), raw.new_empty(raw.shape if learns else 0)
