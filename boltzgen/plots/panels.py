"""Panels of a figure, and what is drawn into many of them."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boltzgen.plots.style import SERIES, colour, styled
from boltzgen.plots.svg import Picture

COLUMNS = 3
PANEL = (3.7, 2.5)  # inches
LABEL: Any = {"ha": "center", "va": "bottom", "fontsize": 7.0, "linespacing": 1.0}  # above a panel


def panels(n: int, columns: int = COLUMNS, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Axes]]:
    """A figure with ``n`` axes, row by row; ``size`` of each in inches."""
    columns = min(n, columns)
    rows = math.ceil(n / columns)
    with styled():
        figure = Picture(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[n:]:
        unused.set_axis_off()
    return figure, axes[:n]


def draw_stairs(axis: Axes, heights: Any, edges: Any, series: str) -> None:
    """A histogram of known heights: filled for what is generated, else an outline."""
    filled = SERIES[series] == "grey"
    look: dict[str, Any] = {"fill": True, "alpha": 0.45} if filled else {"linewidth": 1.4, "baseline": None}
    if SERIES[series] == "orange":
        look["linestyle"] = (0, (4, 1.5))
    axis.stairs(heights, edges, color=colour(series), label=series, **look)


def title(axis: Axes, text: str, room: bool = False) -> None:
    """The title of a panel; with ``room`` below it for two lines of labels."""
    axis.set_title(text, loc="left", fontsize=9.5, color=colour("ink"), pad=22.0 if room else 5.0)


def legend_above(figure: Figure, axis: Axes) -> None:
    """One legend for all panels, from the series of ``axis``."""
    handles, labels = axis.get_legend_handles_labels()
    if len(labels) > 1:
        with styled():
            figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
