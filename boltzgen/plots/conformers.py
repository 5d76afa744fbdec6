"""Populations of conformers with their errors, and the conformers themselves as drawings."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from boltzgen.molecules.conversion import superposed
from boltzgen.molecules.molecule import Molecule
from boltzgen.plots.panels import panels, title
from boltzgen.plots.samples import DrawableSamples
from boltzgen.plots.style import colour

MOST_BARS = 10
MOST_DRAWN = 6
# Colours of elements after Corey, Pauling and Koltun, each to be seen on light and on dark paper.
ELEMENTS = {
    1: "#9aa4ae", 6: "#5b6670", 7: "#3f6fd8", 8: "#d8352f", 9: "#4ea64e", 15: "#d97b1d", 16: "#b8960c",
    17: "#3c9d3c", 35: "#9c4a2f", 53: "#7a3fa0",
}  # fmt: skip
OTHER_ELEMENT = "#b05fa8"


def populations(samples: DrawableSamples, most: int = MOST_BARS) -> Figure:
    """Populations of the main conformers in per cent with standard errors, most populated first."""
    shown = samples.conformers.conformers[:most]
    figure, axes = panels(1, size=(4.7, 0.8 + 0.28 * len(shown)))
    axis = axes[0]
    places = np.arange(len(shown))[::-1]
    values = np.array([100 * one.population.value for one in shown])
    errors = np.array([100 * one.population.stderr for one in shown])
    look = {"ecolor": colour("ink"), "capsize": 3, "elinewidth": 1.1}
    axis.barh(places, values, xerr=errors, color=colour("blue"), height=0.65, error_kw=look)
    axis.set_yticks(places, [str(number) for number in range(1, len(shown) + 1)])
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, min(1.12 * (values + errors).max(), 105.0))
    axis.set_xlabel("population / %")
    axis.set_ylabel("conformer")
    return figure


def drawn_conformers(samples: DrawableSamples, most: int = MOST_DRAWN) -> Figure:
    """The main conformers, superposed on the first and seen from one side; nearer atoms are larger.

    Each is drawn by its sample of lowest energy.
    """
    shown = samples.conformers.conformers[:most]
    seen = main_positions(samples, most)
    low, high = seen.min(axis=(0, 1)) - 0.08, seen.max(axis=(0, 1)) + 0.08
    width, height = high[0] - low[0], high[1] - low[1]
    figure, axes = panels(len(shown), size=(3.4, 0.4 + 3.2 * min(max(height / width, 0.35), 1.2)))
    for number, (axis, one, points) in enumerate(zip(axes, shown, seen, strict=True), start=1):
        _draw(axis, samples.molecule, points)
        title(axis, f"{number}: {100 * one.population.value:.1f} %")
        axis.set_xlim(low[0], high[0])
        axis.set_ylim(low[1], high[1])
        axis.set_aspect("equal")
        axis.set_axis_off()
    return figure


def main_positions(samples: DrawableSamples, most: int) -> Float[np.ndarray, "conformers atoms 3"]:
    """The sample of lowest energy of each main conformer in nm, superposed on the first.

    The first one's longest extents lie along x and y, so that a view along z shows most of it.
    """
    rows = [one.representative for one in samples.conformers.conformers[:most]]
    x = superposed(samples.positions[rows].astype(np.float64))
    _, _, axes = np.linalg.svd(x[0] - x[0].mean(axis=0), full_matrices=True)
    axes[2] *= np.linalg.det(axes)  # a rotation, no reflection
    return x @ axes.T


def element_colour(atomic_number: int) -> str:
    """The colour of an element in drawings."""
    return ELEMENTS.get(atomic_number, OTHER_ELEMENT)


def _draw(axis: Axes, molecule: Molecule, points: np.ndarray) -> None:
    """Half a bond in the colour of each of its atoms, what is farther away first."""
    colours = [element_colour(int(number)) for number in molecule.atomic_numbers]
    halves = []
    for i, j in molecule.bonds:
        middle = (points[i] + points[j]) / 2
        halves += [(points[i], middle, colours[i]), (points[j], middle, colours[j])]
    halves.sort(key=lambda half: half[0][2] + half[1][2])
    lines = [np.array([half[0][:2], half[1][:2]]) for half in halves]
    axis.add_collection(
        LineCollection(
            lines, colors=[half[2] for half in halves], linewidths=2.6, capstyle="round", rasterized=True
        )
    )
    depth = points[:, 2] - points[:, 2].mean()
    sizes = np.where(molecule.atomic_numbers > 1, 34.0, 12.0) * np.clip(1 + 1.5 * depth, 0.5, 1.6)
    axis.scatter(points[:, 0], points[:, 1], s=sizes, c=colours, zorder=3, linewidths=0, rasterized=True)
