"""How far a campaign has come, read from its folder by anybody at any time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from boltzgen.campaign.folder import CampaignFolder
from boltzgen.records.campaign import CampaignStatus, Outcome, Running, State


class Watcher:
    """Looks at ``folder`` again and again; what has ended is read once."""

    def __init__(self, folder: CampaignFolder) -> None:
        self.folder = folder
        self.outcomes: dict[str, Outcome] = {}
        self._listed: Counter[State] = Counter()
        for entry in folder.entries.values():
            if entry.problem:
                self._listed["refused"] += 1
            elif entry.same_as:
                self._listed["duplicate"] += 1

    def look(self) -> CampaignStatus:
        """The state of every molecule now."""
        claimed = self.folder.claimed()
        for name in self.folder.ended() - self.outcomes.keys():
            self.outcomes[name] = self.folder.outcome(name)
        running = [self._running(name) for name in sorted(claimed - self.outcomes.keys())]
        waiting = len(self.folder.to_sample) - len(self.outcomes) - len(running)
        counts = self._listed + Counter(outcome.state for outcome in self.outcomes.values())
        mean = sum(o.seconds for o in self.outcomes.values()) / len(self.outcomes) if self.outcomes else None
        left = None
        if mean is not None and running:
            under_way = sum(max(0.0, mean - one.seconds) for one in running)
            left = (under_way + waiting * mean) / len(running)
        elif mean is not None and not waiting:
            left = 0.0
        return CampaignStatus(
            n_molecules=len(self.folder.entries),
            counts=dict(counts),
            running=running,
            waiting=waiting,
            mean_seconds=mean,
            seconds_left=left,
        )

    def _running(self, name: str) -> Running:
        attempts = self.folder.attempts(name)
        if not attempts:  # claimed just now
            return Running(name=name, worker="", seconds=0.0)
        since = datetime.now(UTC) - datetime.fromisoformat(attempts[-1].began)
        return Running(name=name, worker=attempts[-1].worker, seconds=max(0.0, since.total_seconds()))
