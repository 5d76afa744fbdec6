"""What a campaign keeps: its list of molecules, the attempts at each, and how each one ended."""

from __future__ import annotations

from typing import Literal

from boltzgen.records.record import Record

State = Literal["converged", "not-converged", "refused", "duplicate", "failed"]
"""How a molecule of a campaign ended; a run that is "not-converged" has results, "refused" is bad input."""


class Entry(Record):
    """A molecule of the list.

    name: unique, and the name of its folder. smiles: what is sampled. line: of the file, from 1. canonical:
    "" where the line cannot be used. problem: why it is not sampled, in a sentence. same_as: the name of an
    earlier entry that is the same molecule.
    """

    name: str
    smiles: str
    line: int
    canonical: str = ""
    n_atoms: int = 0
    problem: str = ""
    same_as: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether there is anything to do."""
        return not self.problem and not self.same_as


class Attempt(Record):
    """One try at a molecule by a worker; ``ended`` is "" while it goes on, and where the worker died.

    smaller: with smaller batches and fewer samples. A "killed" child was ended from outside.
    """

    worker: str
    smaller: bool
    began: str
    ended: Literal["", "done", "failed", "killed", "interrupted"] = ""
    sentence: str = ""


class Outcome(Record):
    """How a molecule ended: written once. sentence: why it was refused, failed or did not converge."""

    name: str
    state: State
    sentence: str = ""
    attempts: int = 0
    smaller: bool = False
    seconds: float = 0.0
    worker: str = ""
    finished: str = ""


class Running(Record):
    """A molecule that is worked on: by whom, and seconds since the attempt began."""

    name: str
    worker: str
    seconds: float


class CampaignStatus(Record):
    """How far a campaign has come.

    counts: molecules by how they ended. waiting: those that nobody works on. seconds_left: an estimate from
    the mean time of those that ended and the number of those that are worked on; None where there are none.
    """

    n_molecules: int
    counts: dict[State, int]
    running: list[Running]
    waiting: int
    mean_seconds: float | None = None
    seconds_left: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether every molecule has ended."""
        return not self.running and not self.waiting
