"""Histograms of energies and of log weights, and of samples over a reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from boltzgen.errors import InputError
from boltzgen.plots.panels import draw_stairs, legend_above, panels, title
from boltzgen.plots.samples import GENERATED, DrawableSamples, weighted_series
from boltzgen.plots.style import colour
from boltzgen.units import KJ_PER_KCAL

BINS = 60
TAIL_SHARE = 0.01  # of the samples: those of largest weight
FARTHEST_ENERGY = 1.6  # of the range that the Boltzmann distribution has
FARTHEST = 12.0  # log weights below the largest that are drawn; lower ones stand in the first bin


def energies(samples: DrawableSamples) -> Figure:
    """Potential energies above the lowest, in kcal/mol: generated and reweighted."""
    values = samples.energies / KJ_PER_KCAL
    finite = np.isfinite(values)
    lowest = values[finite].min()
    ends = [
        _quantile(values[finite], None if weights is None else weights[finite], 0.99) - lowest
        for weights in weighted_series(samples).values()
    ]
    highest = min(max(ends), FARTHEST_ENERGY * ends[-1])  # poor models make energies without bound
    edges = np.linspace(0.0, max(highest, 0.01), BINS + 1)  # an atom has one energy only
    figure, axes = panels(1, size=(4.7, 2.7))
    for name, weights in weighted_series(samples).items():
        shares = np.histogram(values - lowest, edges, weights=weights)[0]
        total = len(values) if weights is None else weights.sum()
        draw_stairs(axes[0], shares / total / np.diff(edges), edges, name)
    axes[0].set_xlabel("potential energy above the lowest / kcal mol⁻¹")
    axes[0].set_ylabel("density")
    axes[0].set_yticks([])
    axes[0].set_ylim(bottom=0)
    legend_above(figure, axes[0])
    return figure


def log_weights(samples: DrawableSamples) -> Figure:
    """Log weights relative to their mean weight: how many samples have each, and what decides the ESS.

    The effective sample size is (Σw)² / Σw². The second panel shows which log weights Σw² comes from, the
    hundredth of the samples with the largest weights marked. Raises InputError where there are no weights.
    """
    if not samples.has_free_energy:
        raise InputError("Samples of a model without a density, and frames, have no weights to draw.")
    values = samples.log_weights[np.isfinite(samples.log_weights)]
    largest = values.max()
    mean = largest + np.log(np.exp(values - largest).sum() / len(samples.log_weights))
    values = values - mean
    edges = np.linspace(max(values.min(), values.max() - FARTHEST) - 1e-6, values.max() + 1e-6, BINS + 1)
    squares = np.exp(2 * (values - values.max()))
    shown = np.maximum(values, edges[0] + 1e-9)
    counts = np.histogram(shown, edges)[0]
    shares = 100 * np.histogram(shown, edges, weights=squares)[0] / squares.sum()
    tail = float(np.quantile(values, 1.0 - TAIL_SHARE))
    figure, axes = panels(2, size=(4.6, 2.7))
    draw_stairs(axes[0], counts, edges, GENERATED)
    axes[0].set_yscale("log")
    axes[0].set_ylim(bottom=0.7)
    axes[0].set_ylabel("samples")
    axes[1].stairs(shares, edges, color=colour("blue"), fill=True, alpha=0.6, label="% of Σw²")
    axes[1].set_ylabel("% of Σw²")
    for axis in axes:
        axis.set_xlabel("log weight, relative to the mean weight")
        axis.axvspan(tail, edges[-1], color=colour("orange"), alpha=0.15, linewidth=0)
        axis.axvline(0.0, color=colour("faint"), linewidth=0.8, linestyle=":")
    in_tail = 100 * squares[values >= tail].sum() / squares.sum()
    title(axes[0], "all samples; shaded: the 1 % of largest weights")
    title(axes[1], f"of Σw², {in_tail:.0f} % is in the 1 % of largest weights")
    return figure


class Panel(NamedTuple):
    """One histogram of samples over that of reference frames."""

    label: str
    samples: np.ndarray
    reference: np.ndarray
    edges: np.ndarray


def against_reference(shown: list[Panel]) -> Figure:
    """Densities of samples and of the reference; what lies outside the edges counts, but is not drawn."""
    figure, axes = panels(len(shown))
    for axis, panel in zip(axes, shown, strict=True):
        width = np.diff(panel.edges)
        for values, name in ((panel.samples, "model"), (panel.reference, "reference")):
            heights = np.histogram(values, panel.edges)[0] / len(values) / width
            draw_stairs(axis, heights, panel.edges, name)
        axis.set_xlabel(panel.label)
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
    legend_above(figure, axes[0])
    return figure


def _quantile(values: np.ndarray, weights: np.ndarray | None, level: float) -> float:
    """Of weighted values."""
    if weights is None:
        return float(np.quantile(values, level))
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, level * cumulative[-1])])
