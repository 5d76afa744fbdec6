"""Puckers of five- and six-membered rings."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boltzgen.errors import InputError
from boltzgen.molecules.puckering import Pucker, pucker, puckered_rings
from boltzgen.plots.panels import draw_stairs, legend_above, panels, title
from boltzgen.plots.samples import DrawableSamples, weighted_series
from boltzgen.plots.style import colour

BINS = 60
CHAIR = 45.0  # degrees of θ from either pole; twist forms lie about the equator
REGIONS = (
    ("chair", 0.0, CHAIR),
    ("boat, twist", CHAIR, 180.0 - CHAIR),
    ("other chair", 180.0 - CHAIR, 180.0),
)
ENVELOPES = 36.0  # degrees of the phase from one envelope of a five-membered ring to the next


def ring_puckers(samples: DrawableSamples) -> Figure:
    """Cremer–Pople θ of every six-membered ring and the phase of every five-membered one, in degrees.

    θ is 0° and 180° for the two chairs and 90° for boats and twist boats; a phase goes through the ten
    envelopes of a five-membered ring. Raises InputError for a molecule without such rings.
    """
    rings = puckered_rings(samples.molecule)
    if not rings:
        raise InputError(f"'{samples.molecule.smiles}' has no ring of five or six atoms that puckers.")
    figure, axes = panels(len(rings), size=(4.6, 2.8))
    for axis, ring in zip(axes, rings, strict=True):
        found = pucker(samples.positions[:, list(ring)])
        _draw(axis, samples, found)
        symbols = [samples.molecule.rdmol.GetAtomWithIdx(i).GetSymbol() for i in ring]
        name = "–".join(f"{symbol}{i + 1}" for symbol, i in zip(symbols, ring, strict=True))
        title(axis, f"ring {name}", room=True)
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
    legend_above(figure, axes[0])
    return figure


def _draw(axis: Axes, samples: DrawableSamples, found: Pucker) -> None:
    angles = np.degrees(found.phase if found.theta is None else found.theta)
    most = 360.0 if found.theta is None else 180.0
    edges = np.linspace(0.0, most, BINS + 1)
    for name, weights in weighted_series(samples).items():
        draw_stairs(axis, np.histogram(angles, edges, weights=weights, density=True)[0], edges, name)
    axis.set_xlim(0.0, most)
    axis.set_xticks(np.linspace(0.0, most, 7 if found.theta is not None else 6))
    if found.theta is None:
        for place in np.arange(0.0, 360.0, ENVELOPES):
            axis.axvline(place, color=colour("faint"), linewidth=0.6, linestyle=":")
        axis.set_xlabel("phase / degrees (dotted: envelopes)")
        return
    axis.set_xlabel("θ / degrees")
    across = axis.get_xaxis_transform()
    for label, low, high in REGIONS:
        inside = samples.weights[(angles >= low) & (angles < high)].sum()
        text = f"{label}\n{100 * inside:.1f} %"
        axis.text(
            (low + high) / 2,
            1.0,
            text,
            transform=across,
            ha="center",
            va="bottom",
            fontsize=7.0,
            linespacing=1.0,
        )
        if low > 0:
            axis.axvline(low, color=colour("faint"), linewidth=0.8, linestyle=":")
