"""Several ensembles at once, each evaluated in every state: MBAR (Shirts and Chodera 2008).

States are temperatures of one energy, energies of one molecule, or normalised models, whose reduced energy is
−ln q. Only differences between states are determined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from boltzgen.errors import InputError, NotConvergedError
from boltzgen.thermodynamics.blocks import drawn_blocks, small_sample_factor
from boltzgen.thermodynamics.overlap import overlap_matrix, spectral_gap
from boltzgen.thermodynamics.quiet import NO_OVERLAP, log_mbar_weights, mbar

REPLICATES = 40
LEAST_OVERLAP = 1e-4
LARGEST = 1e5  # kT: samples above weigh nothing in any state


@dataclass(frozen=True)
class Multistate:
    """Reduced free energies of all states with that of the first zero, and replicates of them.

    stderr: of each relative to the first. overlap: O[i, j], the chance that a sample of state i could be one
    of j.
    """

    f: Float[np.ndarray, " states"]
    stderr: Float[np.ndarray, " states"]
    replicates: Float[np.ndarray, "replicates states"]
    overlap: Float[np.ndarray, "sampled sampled"]

    @property
    def least_overlap(self) -> float:
        """The weakest link between states with samples (see ``spectral_gap``)."""
        return spectral_gap(self.overlap)


def multistate(
    sets: Sequence[Float[np.ndarray, "_ _ _"]], seeds: Sequence[tuple[int, ...]] | None = None
) -> Multistate:
    """MBAR of ``sets``, one for each sampled state, in the order of the states.

    Parameters
    ----------
    sets
        Reduced energies [states, blocks, each] of the samples of state i, in every state. States beyond the
        last set have no samples of their own.
    seeds
        Of the bootstrap of each set, by default all different.

    Raises
    ------
    NotConvergedError
        Where the states fall into groups that have nothing in common.
    """
    n_states = len(sets[0])
    if any(len(one) != n_states for one in sets) or min(one.shape[1] for one in sets) < 2:
        raise InputError("Every set needs the energies of two or more blocks in every state.")
    sets = [np.nan_to_num(one, nan=LARGEST, posinf=LARGEST).clip(max=LARGEST) for one in sets]
    f, overlap = _solved(sets, None)
    if spectral_gap(overlap) < LEAST_OVERLAP:
        raise NotConvergedError(NO_OVERLAP)
    sizes = [one.shape[1] for one in sets]
    seeds = seeds or [(index,) for index in range(len(sets))]
    draws = [drawn_blocks(size, seed, REPLICATES) for size, seed in zip(sizes, seeds, strict=True)]
    replicates = [
        _solved([one[:, row] for one, row in zip(sets, rows, strict=True)], f)[0]
        for rows in zip(*draws, strict=True)
    ]
    spread = np.std(replicates, axis=0, ddof=1) * small_sample_factor(*sizes)
    return Multistate(f, spread, np.array(replicates), overlap)


def _solved(
    sets: Sequence[np.ndarray], start: np.ndarray | None
) -> tuple[Float[np.ndarray, " states"], Float[np.ndarray, "sampled sampled"]]:
    """f of all states, and the overlap of those with samples."""
    energies = np.concatenate([one.reshape(len(one), -1) for one in sets], axis=1)
    counts = np.array([one[0].size for one in sets])
    sampled = energies[: len(sets)]
    f = mbar(sampled, counts, None if start is None else start[: len(sets)])
    others = energies[len(sets) :]
    all_counts = np.concatenate([counts, np.zeros(len(others), dtype=int)])
    zeros = np.concatenate([f, np.zeros(len(others))])
    log_weights = log_mbar_weights(energies, all_counts, zeros)[len(sets) :]
    largest = log_weights.max(axis=1, initial=-np.inf)
    rest = -largest - np.log(np.exp(log_weights - largest[:, None]).sum(axis=1))
    return np.concatenate([f, rest]), overlap_matrix(sampled, counts, f)
