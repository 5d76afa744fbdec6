"""Histograms of torsions with their basins named, and free-energy maps of pairs of torsions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boltzgen.conformers import SHOWN_BINS, TorsionStates, torsion_bins
from boltzgen.errors import InputError
from boltzgen.molecules.torsions import Torsion, ramachandran_torsions, torsion_values
from boltzgen.plots.panels import LABEL, draw_stairs, legend_above, panels, title
from boltzgen.plots.samples import GENERATED, REPLICA_EXCHANGE, DrawableSamples, weighted_series
from boltzgen.plots.style import MAP_COLOURS, colour, styled
from boltzgen.units import KJ_PER_KCAL

MAP_BINS = (18, 48)  # least and most a side
SAMPLES_A_BIN = 6.0  # effective ones, were they spread over all
MOST_PANELS = 24
MOST_LABELS = 5  # basins a panel has room to name
DEPTH = 5.0  # kcal/mol: what lies higher is as white as what was never seen


def torsion_histograms(samples: DrawableSamples, most: int = MOST_PANELS) -> Figure:
    """Every torsion that tells conformers apart, as densities: generated, reweighted, by replica exchange.

    Boundaries of basins are dotted; names and populations stand above. Of more than ``most`` torsions the
    softest ones are drawn. Raises InputError for a molecule without such torsions.
    """
    states = samples.conformers.torsion_states
    if not states:
        raise InputError(f"'{samples.molecule.smiles}' has no torsion that tells conformers apart.")
    values = torsion_values(samples.positions, [one.torsion for one in states])
    chosen = sorted(softest(values, samples.weights, states)[:most])
    counted = {row["torsion"]: row for row in samples.metadata.get("torsion_counts", ())}
    figure, axes = panels(len(chosen))
    series = weighted_series(samples)
    for axis, k in zip(axes, chosen, strict=True):
        torsion = states[k].torsion
        edges = torsion_bins(torsion.period)
        heights = {
            name: np.histogram(values[:, k], edges, weights=weights, density=True)[0]
            for name, weights in series.items()
        }
        for name, key in ((GENERATED, "generated"), (REPLICA_EXCHANGE, "replica_exchange")):
            counts = np.array(counted.get(torsion.name, {}).get(key, ()), dtype=float)
            if name not in heights and len(counts) == SHOWN_BINS and counts.sum() > 0:
                heights[name] = counts / counts.sum() / np.diff(edges)
        degrees = np.degrees(edges)
        for name in sorted(heights, key=lambda name: name != GENERATED):  # filled ones lie below
            draw_stairs(axis, heights[name] * math.pi / 180, degrees, name)
        _name_basins(axis, states[k], values[:, k], samples.weights)
        title(axis, torsion.name, room=True)
        _degree_axis(axis, torsion.period)
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
    legend_above(figure, axes[0])
    return figure


def softest(values: np.ndarray, weights: np.ndarray, states: Sequence[TorsionStates]) -> list[int]:
    """Columns of ``values`` [samples, torsions], the torsions of largest entropy first.

    The entropy is that of the weighted histogram over one period, ln 72 for a free rotor.
    """
    entropies = []
    for k, one in enumerate(states):
        shares = np.histogram(values[:, k], torsion_bins(one.torsion.period), weights=weights)[0]
        shares = shares[shares > 0] / shares.sum()
        entropies.append(-float((shares * np.log(shares)).sum()))
    return sorted(range(len(states)), key=lambda k: -entropies[k])


def softest_pair(samples: DrawableSamples) -> tuple[int, int]:
    """Places of the two softest torsions, ascending. Raises InputError where there are fewer than two."""
    states = samples.conformers.torsion_states
    if len(states) < 2:
        raise InputError(f"'{samples.molecule.smiles}' has {len(states)} torsions; a map takes two.")
    values = torsion_values(samples.positions, [one.torsion for one in states])
    first, second = sorted(softest(values, samples.weights, states)[:2])
    return first, second


def torsion_map(samples: DrawableSamples, i: int | None = None, j: int | None = None) -> Figure:
    """Free energy of two torsions, reweighted and as generated, in kcal/mol above the lowest.

    i, j: places in ``samples.conformers.torsion_states``, by default those of the two softest torsions.
    Raises InputError where there are no such torsions.
    """
    states = samples.conformers.torsion_states
    values = torsion_values(samples.positions, [one.torsion for one in states])
    if i is None or j is None:
        i, j = softest_pair(samples)
    if i == j or not all(0 <= k < len(states) for k in (i, j)):
        raise InputError(
            f"Torsions {i} and {j} make no map; give two different ones of 0 to {len(states) - 1}."
        )
    pair = (states[i].torsion, states[j].torsion)
    figure, axes = panels(len(weighted_series(samples)), size=(4.4, 3.8))
    for axis, (name, weights) in zip(axes, reversed(weighted_series(samples).items()), strict=True):
        _draw_map(axis, values[:, [i, j]], weights, pair, samples.kT)
        title(axis, name)
    return figure


def ramachandran(samples: DrawableSamples) -> Figure:
    """Free energy of φ and ψ of every residue between two amides, in kcal/mol above the lowest.

    Raises InputError for a molecule without such residues.
    """
    residues = ramachandran_torsions(samples.molecule)
    if not residues:
        raise InputError(f"'{samples.molecule.smiles}' has no residue between two amides.")
    figure, axes = panels(len(residues), size=(4.4, 3.8))
    for number, (axis, pair) in enumerate(zip(axes, residues, strict=True), start=1):
        values = torsion_values(samples.positions, list(pair))
        _draw_map(axis, values, samples.weights, pair, samples.kT)
        axis.set_xlabel(f"φ ({pair[0].name}) / degrees")
        axis.set_ylabel(f"ψ ({pair[1].name}) / degrees")
        title(axis, f"residue {number}")
    return figure


def _draw_map(
    axis: Axes,
    values: np.ndarray,
    weights: np.ndarray | None,
    pair: tuple[Torsion, Torsion],
    kT: float,
) -> None:
    """−kT ln p of two columns of ``values`` (radians) over their periods."""
    effective = len(values) if weights is None else 1.0 / np.sum(weights**2)
    bins = int(np.clip(math.sqrt(effective / SAMPLES_A_BIN), *MAP_BINS))
    edges = [np.linspace(-t.period / 2, t.period / 2, bins + 1) for t in pair]
    density = np.histogram2d(values[:, 0], values[:, 1], bins=edges, weights=weights)[0]
    with np.errstate(divide="ignore"):
        free_energy = -kT / KJ_PER_KCAL * np.log(density / density.max())
    shown = np.ma.masked_greater(free_energy, DEPTH)
    x, y = (np.degrees(edge) for edge in edges)
    mesh = axis.pcolormesh(x, y, shown.T, cmap=MAP_COLOURS, vmin=0.0, vmax=DEPTH, rasterized=True)
    with styled():
        bar = axis.figure.colorbar(mesh, ax=axis, label="free energy / kcal mol⁻¹")
    bar.outline.set_visible(False)  # type: ignore[operator]
    for torsion, limit, ticks, label in (
        (pair[0], axis.set_xlim, axis.set_xticks, axis.set_xlabel),
        (pair[1], axis.set_ylim, axis.set_yticks, axis.set_ylabel),
    ):
        half = math.degrees(torsion.period) / 2
        limit(-half, half)
        ticks(np.linspace(-half, half, 5))
        label(f"{torsion.name} / degrees")


def _name_basins(axis: Axes, states: TorsionStates, values: np.ndarray, weights: np.ndarray) -> None:
    """Dotted boundaries, and above the panel the name and the population of each basin."""
    half = math.degrees(states.torsion.period) / 2
    for boundary in np.degrees(states.boundaries):
        axis.axvline(boundary, color=colour("faint"), linewidth=0.8, linestyle=":")
    populations = np.bincount(states.assign(values), weights, minlength=len(states.centres))
    if not 1 < len(populations) <= MOST_LABELS:
        return
    across = axis.get_xaxis_transform()
    for centre, label, population in zip(np.degrees(states.centres), states.labels, populations, strict=True):
        place = min(max(centre, -0.86 * half), 0.86 * half)
        text = f"{label}\n{100 * population:.0f} %"
        axis.text(place, 1.0, text, transform=across, **LABEL)


def _degree_axis(axis: Axes, period: float) -> None:
    half = math.degrees(period) / 2
    axis.set_xlim(-half, half)
    axis.set_xticks(np.linspace(-half, half, 5))
    axis.set_xlabel("degrees")
