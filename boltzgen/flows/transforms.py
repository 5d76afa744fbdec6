"""What the layers compute from their parameters, as torch operations: the definition of each kernel.

Here states are [batch, rows]; parameters are [..., batch], or [..., 1] where the whole batch shares them.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.flows.splines import circular_spline, linear_tail_spline

MAX_LOG_SCALE = 3.0  # of an affine map: its raw scale goes through a hyperbolic tangent of this height

State = Float[Tensor, "batch _"]
Index = Int[Tensor, " _"]


def spline(
    state: State,
    raw: Float[Tensor, "parameters moved shared"],
    moved: Index,
    bound: float,
    periodic: bool,
    inverse: bool,
) -> tuple[State, Float[Tensor, " batch"]]:
    """Move columns ``moved`` of the state by splines: circular ones, or linear beyond ±``bound``.

    Parameters
    ----------
    state
        [batch, columns].
    raw
        Unconstrained parameters of the splines, [parameters, moved, batch or 1].
    moved
        Indices of the columns.
    bound
        Half width of the splines' interval; π for circular ones.
    periodic
        Whether the splines are circular.
    inverse
        Whether to apply the inverse map.

    Returns
    -------
    state, log_det
        The state, [batch, columns], and the log-determinant of the direction taken, [batch].
    """
    x = state[:, moved].T
    if periodic:
        value, log_slope = circular_spline(x, raw, inverse)
    else:
        value, log_slope = linear_tail_spline(x, raw, bound, inverse)
    return state.index_copy(1, moved, value.T), log_slope.sum(0)


def affine(
    state: State, raw: Float[Tensor, "_ shared"], moved: Index, inverse: bool
) -> tuple[State, Float[Tensor, " batch"]]:
    """Move columns ``moved`` of the state by x·exp(g) + shift, or back.

    Parameters
    ----------
    state
        [batch, columns].
    raw
        Shifts, then scales s with g = L·tanh(s/L), L = ``MAX_LOG_SCALE``, [2 · moved, batch or 1].
    moved
        Indices of the columns.
    inverse
        Whether to apply the inverse map.

    Returns
    -------
    state, log_det
        The state, [batch, columns], and the log-determinant of the direction taken, [batch].
    """
    shift, raw_scale = raw.chunk(2)
    log_scale = MAX_LOG_SCALE * torch.tanh(raw_scale / MAX_LOG_SCALE)
    x = state[:, moved].T
    value = (x - shift) * torch.exp(-log_scale) if inverse else x * log_scale.exp() + shift
    log_det = (-log_scale if inverse else log_scale).expand_as(x).sum(0)
    return state.index_copy(1, moved, value.T), log_det


def by_column(raw: Tensor, moved: Tensor) -> Tensor:
    """A network's outputs [parameters · moved, batch] as a spline's parameters [parameters, moved, batch]."""
    return raw.view(len(raw) // max(1, len(moved)), len(moved), raw.shape[1])


def torsion_features(
    torsions: Float[Tensor, "batch kept"], folded: Int[Tensor, " folded"], fold: Float[Tensor, " folded"]
) -> Float[Tensor, "batch features"]:
    """Cosines, sines, and sin(τ/n)/sin(π/n) of the columns ``folded`` with n = ``fold``.

    The domain of an n-fold rotor has the half width π/n: the scale makes the last reach ±1 there.
    """
    features = [torsions.cos(), torsions.sin()]
    if len(folded):
        features.append((torsions[:, folded] / fold).sin() / torch.sin(math.pi / fold))
    return torch.cat(features, dim=-1)


def perceptron(
    features: Float[Tensor, "batch inputs"], network: list[Tensor], last: Tensor, bias: Tensor
) -> Float[Tensor, "outputs batch"]:
    """Residual perceptron with batch last in its outputs; ``network`` is weight, bias, weight, bias, …"""
    hidden = torch.nn.functional.silu(torch.nn.functional.linear(features, network[0], network[1]))
    for weight, offset in zip(network[2::2], network[3::2], strict=True):
        hidden = hidden + torch.nn.functional.silu(torch.nn.functional.linear(hidden, weight, offset))
    return torch.addmm(bias[:, None], last, hidden.t())


def coupling(
    torsions: State,
    stiff: State,
    moved: Index,
    kept: Index,
    folded: Index,
    fold: Float[Tensor, " folded"],
    kept_stiff: Index,
    periodic: bool,
    inverse: bool,
    bias: Tensor,
    last: Tensor,
    network: list[Tensor],
) -> tuple[State, Float[Tensor, " batch"]]:
    """Move torsions by circular splines (``periodic``) or stiff coordinates by affine maps, given the others.

    The parameters are those that a perceptron makes of features of the torsions ``kept`` and of the stiff
    coordinates ``kept_stiff``.

    Parameters
    ----------
    torsions
        Torsions in radians, [batch, torsions].
    stiff
        Stiff coordinates, [batch, stiff].
    moved
        Indices of the columns that move.
    kept
        Indices of the torsions whose features are taken.
    folded
        Indices, among the kept torsions, of those of symmetric rotors.
    fold
        Symmetry numbers of these, [folded].
    kept_stiff
        Indices of the stiff coordinates that are taken.
    periodic
        Whether torsions move, else stiff coordinates.
    inverse
        Whether to apply the inverse map.
    bias, last, network
        Parameters of ``perceptron``.

    Returns
    -------
    state, log_det
        The state that moved, [batch, columns], and the log-determinant of the direction taken, [batch].
    """
    features = torch.cat([torsion_features(torsions[:, kept], folded, fold), stiff[:, kept_stiff]], dim=-1)
    raw = perceptron(features, network, last, bias)
    if periodic:
        return spline(torsions, by_column(raw, moved), moved, math.pi, True, inverse)
    return affine(stiff, raw, moved, inverse)
