"""Figures with what is said of them, as pages show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from boltzgen.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


WIDE = 6.0  # inches


class Shown(NamedTuple):
    """A figure on a page. svg: with its description for those who cannot see it. caption: may be empty.

    wide: on a narrow screen it is scrolled rather than shrunk.
    """

    title: str
    svg: Markup
    caption: str
    wide: bool


def shown(name: str, figure: Figure, title: str, description: str, caption: str = "") -> Shown:
    """``figure`` for a page on which no other one has its ``name``, which is of letters and hyphens."""
    from boltzgen.plots.svg import figure_svg

    wide = figure.get_figwidth() > WIDE
    return Shown(title, Markup(figure_svg(figure, name, description)), caption, wide)


def shown_if_any(
    name: str, draw: Callable[[], Figure], title: str, description: str, caption: str = ""
) -> Shown | None:
    """What ``draw`` draws; None where it raises InputError, since there is nothing to draw."""
    try:
        figure = draw()
    except InputError:
        return None
    return shown(name, figure, title, description, caption)
