"""Conformers as torsion states: where the density of each torsion splits, and the weight of each part.

A state of one torsion is a stretch of the circle between two minima of its density; a conformer is one state
of every torsion. Populations are sums of Boltzmann weights, with standard errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import Torsion, conformer_torsions, torsion_values, wrapped
from boltzgen.sampling.importance import Estimate

N_BINS = 180
SHOWN_BINS = 72  # of histograms that people see
KERNEL_WIDTH = math.radians(8.0)
LEAST_DIP = 0.6  # a minimum splits two states if it is lower than this share of the lower maximum
LEAST_POPULATION = 2e-3
SYN, GAUCHE, ANTICLINAL = (math.radians(limit) for limit in (30.0, 90.0, 150.0))  # Klyne and Prelog 1960


@dataclass(frozen=True)
class TorsionStates:
    """States of one torsion: between ``boundaries`` (radians, ascending), with a centre and a label each.

    State s lies between boundary s and the next; the last one continues through the end of the period.
    Without boundaries there is one state.
    """

    torsion: Torsion
    boundaries: tuple[float, ...]
    centres: tuple[float, ...]
    labels: tuple[str, ...]

    def assign(self, values: Float[np.ndarray, " batch"]) -> Int[np.ndarray, " batch"]:
        """The state of each torsion value."""
        if not self.boundaries:
            return np.zeros(len(values), dtype=np.int64)
        angles = wrapped(values, self.torsion.period)
        return (np.searchsorted(self.boundaries, angles) - 1) % len(self.boundaries)


@dataclass(frozen=True)
class Conformer:
    """One combination of torsion states: its population with error and its sample of lowest energy.

    ``torsions`` are the states' centres in radians, ``representative`` an index into the samples.
    """

    states: tuple[int, ...]
    label: str
    torsions: tuple[float, ...]
    population: Estimate
    representative: int


@dataclass(frozen=True)
class ConformerTable:
    """Conformers, most populated first; ``assignment`` [samples] holds each sample's place in that order."""

    torsion_states: tuple[TorsionStates, ...]
    conformers: tuple[Conformer, ...]
    assignment: Int[np.ndarray, " samples"]


def find_states(
    molecule: Molecule,
    positions: Float[np.ndarray, "samples atoms 3"],
    weights: Float[np.ndarray, " samples"],
) -> tuple[TorsionStates, ...]:
    """The states of each torsion of ``conformer_torsions`` in weighted samples (nm)."""
    torsions = conformer_torsions(molecule)
    values = torsion_values(positions, torsions)
    return tuple(torsion_states(torsion, values[:, i], weights) for i, torsion in enumerate(torsions))


def torsion_states(
    torsion: Torsion, values: Float[np.ndarray, " samples"], weights: Float[np.ndarray, " samples"]
) -> TorsionStates:
    """Split the circle at those minima of the weighted density that are deep and cut off enough weight."""
    used = weights > 0
    angles, weights = wrapped(values[used], torsion.period), weights[used] / weights.sum()
    density = _circular_density(angles, weights, torsion.period)
    cuts = _minima_between_peaks(density, weights)
    edges = (np.arange(N_BINS) / N_BINS - 0.5) * torsion.period
    middles = edges + 0.5 * torsion.period / N_BINS
    boundaries = tuple(sorted(float(middles[cut]) for cut in cuts))
    split = TorsionStates(torsion, boundaries, (), ())
    assignment = split.assign(angles)
    centres = tuple(
        _circular_mean(angles[assignment == state], weights[assignment == state], torsion.period)
        for state in range(max(len(boundaries), 1))
    )
    return TorsionStates(torsion, boundaries, centres, _labels(centres, torsion.period))


def conformer_states(
    states: tuple[TorsionStates, ...], positions: Float[np.ndarray, "samples atoms 3"]
) -> Int[np.ndarray, "samples torsions"]:
    """The state of every torsion in every sample."""
    values = torsion_values(positions, [one.torsion for one in states])
    columns = [one.assign(values[:, i]) for i, one in enumerate(states)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(positions), 0), dtype=np.int64)


def conformer_label(states: tuple[TorsionStates, ...], combination: Int[np.ndarray, " torsions"]) -> str:
    """The labels of one state of every torsion."""
    return ", ".join(one.labels[s] for one, s in zip(states, combination, strict=True)) or "the only one"


def conformer_table(
    states: tuple[TorsionStates, ...],
    positions: Float[np.ndarray, "samples atoms 3"],
    weights: Float[np.ndarray, " samples"],
    energies: Float[np.ndarray, " samples"],
) -> ConformerTable:
    """All conformers with weight, most populated first, with delta-method errors of independent samples."""
    if len(positions) == 0 or not weights.sum() > 0:
        raise InputError("There is no weighted sample to make a table of conformers from.")
    weights = weights / weights.sum()
    combinations, members = np.unique(conformer_states(states, positions), axis=0, return_inverse=True)
    members = members.reshape(-1)
    n_found = len(combinations)
    populations = np.bincount(members, weights, minlength=n_found)
    squares = np.bincount(members, weights**2, minlength=n_found)
    # Variance of Σ w̄ (1[in state] − p) written out: samples inside count (1 − p)², all others p².
    variances = squares * (1 - 2 * populations) + populations**2 * squares.sum()
    by_energy = np.lexsort((np.where(weights > 0, energies, np.inf), members))
    lowest = by_energy[np.searchsorted(members[by_energy], np.arange(n_found))]
    order = np.argsort(-populations, kind="stable")
    conformers = tuple(
        Conformer(
            tuple(int(s) for s in combinations[c]),
            conformer_label(states, combinations[c]),
            tuple(one.centres[s] for one, s in zip(states, combinations[c], strict=True)),
            Estimate(float(populations[c]), float(math.sqrt(max(variances[c], 0.0)))),
            int(lowest[c]),
        )
        for c in order
        if populations[c] > 0
    )
    place = np.empty(n_found, dtype=np.int64)
    place[order] = np.arange(n_found)
    return ConformerTable(states, conformers, place[members])


def found_conformers(
    molecule: Molecule,
    positions: Float[np.ndarray, "samples atoms 3"],
    energies: Float[np.ndarray, " samples"],
    weights: Float[np.ndarray, " samples"] | None = None,
) -> ConformerTable:
    """The conformers of samples (nm) by the torsion states that the same samples show.

    Without ``weights`` all weigh the same. ``energies``, in any unit, choose each conformer's representative.
    Raises InputError where no sample has weight.
    """
    weights = np.ones(len(positions)) if weights is None else weights
    return conformer_table(find_states(molecule, positions, weights), positions, weights, energies)


def torsion_bins(period: float) -> Float[np.ndarray, " edges"]:
    """Edges in radians of the 72 bins that histograms of a torsion have, over one period around zero."""
    return np.linspace(-period / 2, period / 2, SHOWN_BINS + 1)


def _circular_density(angles: np.ndarray, weights: np.ndarray, period: float) -> np.ndarray:
    """Weighted density [bins] smoothed by a wrapped Gaussian, by its Fourier coefficients."""
    counts, _ = np.histogram(angles, bins=N_BINS, range=(-period / 2, period / 2), weights=weights)
    frequencies = np.fft.rfftfreq(N_BINS, d=1.0 / N_BINS) * (2 * math.pi / period)
    smooth = np.fft.rfft(counts) * np.exp(-0.5 * (frequencies * KERNEL_WIDTH) ** 2)
    return np.fft.irfft(smooth, N_BINS).clip(min=0.0)


def _minima_between_peaks(density: np.ndarray, weights: np.ndarray) -> list[int]:
    """Bins at which the circle is cut: the persistent minima that cut off enough weight."""
    ess = 1.0 / np.sum(weights**2)
    least = max(LEAST_POPULATION, 5.0 / ess)
    n = len(density)
    peaks = [b for b in range(n) if density[b] > density[b - 1] and density[b] >= density[(b + 1) % n]]
    while len(peaks) > 1:
        cuts, saddles = [], []
        for first, second in zip(peaks, peaks[1:] + peaks[:1], strict=True):
            between = np.arange(first, second + (n if second <= first else 0)) % n
            cuts.append(int(between[np.argmin(density[between])]))
            saddles.append(density[cuts[-1]])
        # Part i lies around peak i, between cut i − 1 and cut i.
        merges = []
        for i in range(len(peaks)):
            inside = np.arange(cuts[i - 1], cuts[i] + (n if cuts[i] <= cuts[i - 1] else 0)) % n
            dip = max(saddles[i - 1], saddles[i]) / density[peaks[i]]
            if density[inside].sum() < least * density.sum() or dip > LEAST_DIP:
                merges.append((density[peaks[i]], i))
        if not merges:
            return cuts
        peaks.pop(min(merges)[1])
    return []


def _circular_mean(angles: np.ndarray, weights: np.ndarray, period: float) -> float:
    turn = 2 * math.pi / period
    return float(np.angle(np.sum(weights * np.exp(1j * turn * angles))) / turn)


def _labels(centres: tuple[float, ...], period: float) -> tuple[str, ...]:
    """Klyne–Prelog names in a chemist's words; the angle where the names would not tell two states apart."""
    names = [_name(centre) for centre in centres]
    if len(set(names)) == len(names) and period > math.pi:
        return tuple(names)
    return tuple(f"{math.degrees(centre):+.0f}°" for centre in centres)


def _name(centre: float) -> str:
    size, sign = abs(centre), "+" if centre >= 0 else "−"
    if size <= SYN:
        return "syn"
    if size <= GAUCHE:
        return f"gauche{sign}"
    return f"anticlinal{sign}" if size <= ANTICLINAL else "anti"
