"""The temperature of an objective during training: hot at first, where barriers are low."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cooling:
    """Inverse temperature, relative to the target's, as a function of the progress through training.

    It rises geometrically from 1/``hot_factor`` to 1 during the first ``share`` and stays there.

    >>> Cooling(hot_factor=4.0, share=0.5)(0.25)
    0.5
    """

    hot_factor: float = 1.0
    share: float = 0.0

    def __call__(self, progress: float) -> float:
        if self.share == 0.0:
            return 1.0
        return self.hot_factor ** (min(progress / self.share, 1.0) - 1.0)
