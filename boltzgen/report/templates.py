"""Pages from the templates in ``templates/``: each one file that needs nothing else.

A page extends ``base.html`` and is made of the macros of ``macros.html``. All text is escaped but what is
``Markup``: figures and formulas as SVG, and the style and scripts in ``static/``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent


def render(template: str, **content: Any) -> str:
    """The page that ``template`` makes of ``content``."""
    return _environment().get_template(template).render(**content, palette=_palette())


def static(name: str) -> Markup:
    """A file of ``static/`` as it is: a style sheet or a script of this package."""
    return Markup((HERE / "static" / name).read_text(encoding="utf-8"))


def _palette() -> Markup:
    """The colours of figures as CSS variables, for light and for dark paper."""
    from boltzgen.plots.style import PALETTE

    light, dark = (" ".join(f"--{name}: {shade[k]};" for name, shade in PALETTE.items()) for k in range(2))
    return Markup(f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = static
    return environment
