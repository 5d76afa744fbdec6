"""How much two ensembles have in common."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from boltzgen.thermodynamics.quiet import log_mbar_weights


def bennett_overlap(
    forward: Float[np.ndarray, " n"], backward: Float[np.ndarray, " m"], difference: float
) -> float:
    """∫ 2 p₀p₁/(p₀ + p₁), one for equal distributions, zero for those that have nothing in common.

    ``forward`` and ``backward``: reduced work of 0 → 1 in samples of 0 and of 1 → 0 in samples of 1;
    ``difference``: f₁ − f₀. Twice the mean chance that a sample belongs to the other ensemble.
    """
    into_second = 1.0 / (1.0 + np.exp(np.clip(forward - difference, -700, 700)))
    into_first = 1.0 / (1.0 + np.exp(np.clip(backward + difference, -700, 700)))
    return float(into_second.mean() + into_first.mean())


def overlap_matrix(
    reduced_energies: Float[np.ndarray, "states samples"],
    counts: Int[np.ndarray, " states"],
    f: Float[np.ndarray, " states"],
) -> Float[np.ndarray, "states states"]:
    """O[i, j] = Σ_n W_i(n) N_j W_j(n): the chance that a sample of state i could be one of j.

    Klimovich, Shirts and Mobley (2015). Rows sum to one.
    """
    weights = np.exp(log_mbar_weights(reduced_energies, counts, f))
    return weights @ (weights * counts[:, None]).T


def spectral_gap(overlap: Float[np.ndarray, "states states"]) -> float:
    """One minus the second largest eigenvalue: near zero where states fall into groups without a link."""
    return float(1.0 - np.sort(np.linalg.eigvals(overlap).real)[-2])
