"""A campaign on the terminal: how many molecules have ended, which are under way, how long the rest takes."""

from __future__ import annotations

import datetime
import math
import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from boltzgen.records.campaign import CampaignStatus

MOST_SHOWN = 12  # molecules under way
SECONDS_BETWEEN = 60.0  # of two lines where the output is not a terminal


class CampaignTable:
    """A live table on a terminal; elsewhere a line a minute."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self.printed = -math.inf

    def __enter__(self) -> CampaignTable:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def show(self, status: CampaignStatus) -> None:
        """Show ``status``."""
        if self.console.is_terminal:
            self.live.update(Group(Text(status_line(status)), running_table(status)), refresh=True)
        elif time.monotonic() - self.printed >= SECONDS_BETWEEN:
            self.printed = time.monotonic()
            self.console.print(status_line(status), markup=False, highlight=False, soft_wrap=True)


def status_line(status: CampaignStatus) -> str:
    """One line for a log."""
    ended = sum(status.counts.values())
    counts = ", ".join(f"{n} {state}" for state, n in status.counts.items())
    left = "" if status.seconds_left is None else f", about {duration_text(status.seconds_left)} left"
    return (
        f"{ended} of {status.n_molecules} molecules{f' ({counts})' if counts else ''},"
        f" {len(status.running)} under way, {status.waiting} waiting{left}"
    )


def running_table(status: CampaignStatus) -> Table:
    """The molecules that are under way, those that take longest first."""
    table = Table(box=None, padding=(0, 2))
    for column in ("under way", "worker", "for"):
        table.add_column(column, justify="right" if column == "for" else "left", no_wrap=True)
    for one in sorted(status.running, key=lambda one: -one.seconds)[:MOST_SHOWN]:
        table.add_row(escape(one.name), escape(one.worker), duration_text(one.seconds))
    if len(status.running) > MOST_SHOWN:
        table.add_row(f"and {len(status.running) - MOST_SHOWN} more", "", "")
    return table


def print_status(console: Console, status: CampaignStatus) -> None:
    """The counts in a line, and what is under way."""
    console.print(status_line(status), markup=False, highlight=False, soft_wrap=True)
    if status.running:
        console.print(running_table(status))


def duration_text(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration_text(3725.2)
    '1:02:05'
    """
    return str(datetime.timedelta(seconds=round(seconds)))
