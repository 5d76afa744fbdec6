"""``boltzgen systems``: the molecular systems known by name."""

from __future__ import annotations

from rich.console import Console

from boltzgen.report.terminal import print_systems


def systems() -> None:
    """The molecular systems known by name."""
    from boltzgen.systems import describe_system, system_names

    print_systems(Console(), {name: describe_system(name) for name in system_names()})
