"""The one style of all figures: colours, sizes, and how axes look."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib

from boltzgen.plots.samples import GENERATED, REPLICA_EXCHANGE, REWEIGHTED, UNWEIGHTED


class Shade(NamedTuple):
    """A colour on light and on dark paper, as #rrggbb. Those of data stand out from either by 3 to 1."""

    light: str
    dark: str


PALETTE = {
    "ink": Shade("#1c2530", "#e8ecf1"),
    "faint": Shade("#6b7785", "#98a5b3"),
    "blue": Shade("#0b6b96", "#5cb8e4"),
    "grey": Shade("#7d8a98", "#8c99a7"),
    "orange": Shade("#c04f15", "#f0935a"),
    "green": Shade("#2e7d4f", "#6cc794"),
    "red": Shade("#b3261e", "#f28b82"),
}
SERIES = {
    GENERATED: "grey",
    UNWEIGHTED: "grey",
    REWEIGHTED: "blue",
    "samples": "blue",
    "model": "blue",
    REPLICA_EXCHANGE: "orange",
    "reference": "orange",
}
MAP_COLOURS = "viridis"
_LOOK: Any = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.5,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["faint"].light,
    "axes.labelcolor": PALETTE["ink"].light,
    "axes.titlecolor": PALETTE["ink"].light,
    "text.color": PALETTE["ink"].light,
    "xtick.color": PALETTE["faint"].light,
    "ytick.color": PALETTE["faint"].light,
    "xtick.labelcolor": PALETTE["ink"].light,
    "ytick.labelcolor": PALETTE["ink"].light,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.titlelocation": "left",
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "boltzgen",
}


def styled() -> AbstractContextManager[None]:
    """The style, for as long as the context lasts; also a decorator of functions that draw."""
    return matplotlib.rc_context(_LOOK)


def colour(name: str) -> str:
    """The colour of a series, or of a name of the palette, on light paper."""
    return PALETTE[SERIES.get(name, name)].light
