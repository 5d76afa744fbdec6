"""Does a model copy the frames that it was trained on? Asked of nearest neighbours."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from boltzgen.evaluation.discrepancy import require_frames, rows
from boltzgen.sampling.importance import Estimate

MOST_ROWS = 2000


def copied_share(
    samples: Float[np.ndarray, "samples features"],
    training: Float[np.ndarray, "frames features"],
    test: Float[np.ndarray, "others features"],
    seed: int = 0,
) -> Estimate:
    """Share of samples that lie nearer to a training frame than to any of as many test frames.

    0.5 for a model that learnt a distribution, 1 for one that repeats its frames. Equal distances count half.
    Raises InputError for fewer than 200 samples, training or test frames.
    """
    for frames in (samples, training, test):
        require_frames(frames)
    generator = np.random.default_rng(seed)
    samples = rows(samples, min(MOST_ROWS, len(samples)), generator)
    n = min(len(training), len(test))
    own, other = (cKDTree(rows(frames, n, generator)).query(samples)[0] for frames in (training, test))
    share = float(np.mean((own < other) + 0.5 * (own == other)))
    return Estimate(share, math.sqrt(max(share * (1 - share), 0.25 / len(samples)) / len(samples)))
