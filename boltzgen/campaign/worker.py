"""A worker: claims molecules one after the other and sees each to its end.

A molecule is tried with the settings asked for. Where its process fails, hangs or has too little memory, it
is tried once more with smaller batches and fewer samples, from the beginning. Where it was killed from
outside, or its worker died, it goes on from its checkpoint; that happening ``MOST_KILLED`` times counts as a
failure, since it may be the molecule itself that exhausts a machine.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from boltzgen.campaign.child import Limits, memory_limit, run_in_child
from boltzgen.campaign.folder import CampaignFolder
from boltzgen.campaign.molecule import Ending, clear, sample_molecule, smaller, time_limit
from boltzgen.files.lock import Lease
from boltzgen.interruption import InterruptedRunError
from boltzgen.records.campaign import Attempt, Entry, Outcome, State

MOST_KILLED = 3
LOOK = 1.0  # seconds between two looks at what others are working on
Size = Literal["as asked", "smaller", "none"]
Work = Callable[..., Ending]
Run = Callable[[Work, tuple[Any, ...], Limits, Path], Ending]
Say = Callable[[str], None]


class Worker:
    """Works in ``folder`` until nothing is left to do.

    Parameters
    ----------
    folder
        The campaign.
    say
        Is told in a line what happens.
    work
        What is done with a molecule's settings and the folder of its run, in a process of its own.
    neighbours
        Workers on this machine, which share its memory.
    run
        Runs ``work`` with its arguments within limits, its output in a log.
    """

    def __init__(
        self,
        folder: CampaignFolder,
        say: Say = lambda line: None,
        work: Work = sample_molecule,
        neighbours: int = 1,
        run: Run = run_in_child,
    ) -> None:
        self.folder, self.say, self.work, self._run = folder, say, work, run
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        settings = folder.config
        self.memory = memory_limit(settings.memory_gigabytes, neighbours, settings.sample.device)

    def run(self) -> int:
        """The number of molecules that were seen to their end.

        It returns when every molecule has ended or is worked on by others that give signs of life. Raises
        InterruptedRunError, after a checkpoint, where the process is asked to end.
        """
        n_done = 0
        signs = _SignsOfLife(self.folder)
        while True:
            n_before = n_done
            for name, lease in self._claims():
                try:
                    n_done += self._see_to_its_end(self.folder.entries[name], lease)
                finally:
                    lease.release()
            if n_done == n_before:
                left = set(self.folder.to_sample) - self.folder.ended()
                if not left or signs.all_alive(left):
                    return n_done
                time.sleep(LOOK * random.uniform(0.5, 1.5))

    def _claims(self) -> Iterator[tuple[str, Lease]]:
        """Molecules that have not ended, each with the lease that this worker has now."""
        ended = self.folder.ended()
        for name in self.folder.to_sample:
            if name in ended:
                continue
            lease = self.folder.claim(name)
            if not lease.acquire():
                continue
            if self.folder.has_ended(name):  # since the look at all of them
                lease.release()
            else:
                yield name, lease

    def _see_to_its_end(self, entry: Entry, lease: Lease) -> bool:
        """Whether ``entry`` has ended; False where another process still writes in its folder."""
        attempts = self.folder.attempts(entry.name)
        began = time.monotonic()
        while (size := next_size(attempts)) != "none":
            ending = self._try(entry, attempts, size)
            if ending.kind == "busy" or lease.lost:
                return False
            if ending.kind in ("converged", "not-converged", "refused"):
                break
        else:
            ending = Ending("failed", _reasons(attempts))
        outcome = Outcome(
            name=entry.name,
            state=cast("State", ending.kind),
            sentence=ending.sentence,
            attempts=len(attempts),
            smaller=bool(attempts) and attempts[-1].smaller,
            seconds=round(time.monotonic() - began, 3),
            worker=self.name,
            finished=_now(),
        )
        self.say(f"{entry.name}: {outcome.state} in {outcome.seconds:.0f} s {outcome.sentence}".rstrip())
        return self.folder.end(outcome)

    def _try(self, entry: Entry, attempts: list[Attempt], size: Size) -> Ending:
        """One attempt at ``entry``, noted in ``attempts`` and on disk before and after."""
        campaign = self.folder.config
        config = campaign.sample.model_copy(update={"molecule": entry.smiles})
        run = self.folder.run_folder(entry.name)
        if size == "smaller":
            config = smaller(config)
            if not attempts[-1].smaller:
                clear(run)
        limits = Limits(time_limit(config, entry.n_atoms, campaign.time_limit), self.memory)
        attempt = Attempt(worker=self.name, smaller=size == "smaller", began=_now())
        attempts.append(attempt)
        self.folder.keep_attempts(entry.name, attempts)
        try:
            ending = self._run(self.work, (config, run), limits, self.folder.log(entry.name))
        except InterruptedRunError:
            self._note(entry, attempts, "interrupted")
            raise
        if ending.kind == "busy":
            attempts.pop()
            self.folder.keep_attempts(entry.name, attempts)
        elif ending.kind in ("failed", "killed"):
            self.say(f"{entry.name}: {ending.sentence}")
            self._note(entry, attempts, ending.kind, ending.sentence)
        elif ending.kind == "interrupted":
            self._note(entry, attempts, "interrupted", ending.sentence)
        else:
            attempts[-1] = attempt.model_copy(update={"ended": "done"})
        return ending

    def _note(self, entry: Entry, attempts: list[Attempt], ended: str, sentence: str = "") -> None:
        attempts[-1] = attempts[-1].model_copy(update={"ended": ended, "sentence": sentence})
        self.folder.keep_attempts(entry.name, attempts)


class _SignsOfLife:
    """Whether those who have claims are alive: each claim's time has moved since this worker looked first."""

    def __init__(self, folder: CampaignFolder) -> None:
        self.folder = folder
        self.first: dict[str, float] = {}

    def all_alive(self, names: set[str]) -> bool:
        """Whether all ``names`` are claimed by workers that are known to be alive."""
        alive = True
        for name in names:
            try:
                renewed = self.folder.claim(name).path.stat().st_mtime
            except FileNotFoundError:
                return False  # to be claimed
            alive &= renewed > self.first.setdefault(name, renewed)
        return alive


def next_size(attempts: Sequence[Attempt]) -> Size:
    """What to try after ``attempts``: as asked for, smaller, or nothing any more.

    >>> next_size([])
    'as asked'
    """
    for size, among in (("as asked", False), ("smaller", True)):
        of_size = [attempt for attempt in attempts if attempt.smaller is among]
        killed = sum(attempt.ended in ("", "killed") for attempt in of_size)
        if killed < MOST_KILLED and not any(attempt.ended == "failed" for attempt in of_size):
            return cast("Size", size)
    return "none"


def _reasons(attempts: Sequence[Attempt]) -> str:
    """Why the attempts failed: the last sentence of each size."""
    found = {attempt.smaller: attempt.sentence or "its worker died" for attempt in attempts}
    again = f"; again with a quarter of the samples and the batch: {found[True]}" if True in found else ""
    return f"{found.get(False, '')}{again}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
