"""A figure as SVG text for a page: colours that follow the page, what a reader hears, what hovering shows."""

from __future__ import annotations

import io
import json
import re
from html import escape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from boltzgen.plots.style import PALETTE, styled

RASTER_DPI = 160


class Picture(Figure):
    """A figure that notebooks show by themselves, without pyplot."""

    def _repr_svg_(self) -> str:
        return figure_svg(self)


def figure_svg(figure: Figure, name: str = "figure", description: str = "") -> str:
    """SVG text of ``figure``, to be put into HTML.

    Colours of the palette are CSS variables (``--ink``), with the ones for light paper where there are none.
    Identifiers begin with ``name``, of letters and hyphens, so that several figures can share a page.
    ``description`` is what a screen reader says. Attribute ``data-axes`` has the figures behind the picture.
    """
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", dpi=RASTER_DPI, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    referred = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referred else "", text)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    for variable, shade in PALETTE.items():
        text = text.replace(shade.light, f"var(--{variable}, {shade.light})")
    shown = [axis for axis in figure.axes if axis.axison and axis.get_label() != "<colorbar>"]
    data = escape(json.dumps([_axes_data(axis) for axis in shown], separators=(",", ":")))
    label = f'role="img" aria-label="{escape(description)}"' if description else 'aria-hidden="true"'
    return text.replace("<svg ", f'<svg {label} data-axes="{data}" ', 1)


def _axes_data(axis: Axes) -> dict[str, Any]:
    """Where the axes lie in the figure (shares of its width and height, from below), and what they show."""
    box = axis.get_position()
    found: dict[str, Any] = {
        "box": [round(value, 4) for value in (box.x0, box.y0, box.x1, box.y1)],
        "x": [_short(value) for value in axis.get_xlim()],
        "y": [_short(value) for value in axis.get_ylim()],
        "xlabel": axis.get_xlabel(),
        "steps": [],
    }
    for patch in axis.patches:
        label = patch.get_label()
        if isinstance(patch, StepPatch) and isinstance(label, str) and not label.startswith("_"):
            heights, edges, _ = patch.get_data()
            found["steps"].append({"label": label, "heights": [_short(value) for value in heights]})
            found["range"] = [_short(value) for value in edges[[0, -1]]]
    for mesh in axis.collections:
        if isinstance(mesh, QuadMesh):
            array: np.ndarray = np.ma.filled(np.ma.asarray(mesh.get_array(), dtype=float), np.nan)
            rows = [[None if np.isnan(value) else round(float(value), 2) for value in row] for row in array]
            found |= {"map": rows, "ylabel": axis.get_ylabel()}
    return found


def _short(value: float) -> float:
    """Four figures are enough to be read."""
    return float(f"{value:.4g}")
