"""Classifier two-sample test: can a fresh network tell samples from reference frames?

Its balanced accuracy on frames it was not trained on is 0.5 where it cannot (Lopez-Paz and Oquab 2017). The
network of every fold is trained at the same time, one batched matrix product a layer.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, silu

N_FOLDS = 5
HIDDEN = 32
STEPS = 200
BATCH = 200
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 1e-2
FARTHEST = 10.0  # standard deviations: a clash should be told apart by its sign, not by its size


def balanced_accuracy(
    x: Float[np.ndarray, "samples features"], y: Float[np.ndarray, "frames features"], seed: int = 0
) -> float:
    """Mean of the shares of x and of y that networks trained on the other four fifths label rightly."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.as_tensor(np.concatenate([x, y])).float()
    data = ((data - data.mean(0)) / data.std(0).clamp_min(1e-6)).clamp(-FARTHEST, FARTHEST)
    labels = torch.cat([torch.ones(len(x)), torch.zeros(len(y))])
    fold = torch.cat([torch.randperm(len(part), generator=generator) % N_FOLDS for part in (x, y)])
    weights = _trained(data, labels, fold, generator)
    with torch.no_grad():
        scores = _logits(weights, data.expand(N_FOLDS, -1, -1)).gather(0, fold[None])[0]
    right = (scores > 0) == (labels > 0.5)
    return float(0.5 * (right[labels > 0.5].double().mean() + right[labels < 0.5].double().mean()))


def _trained(data: Tensor, labels: Tensor, fold: Tensor, generator: torch.Generator) -> list[Tensor]:
    """Parameters [folds, in, out] and [folds, 1, out] of networks that saw all but their own fold."""
    weights = []
    for n_in, n_out in ((data.shape[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)):
        bound = 1.0 / math.sqrt(n_in)
        for shape in ((N_FOLDS, n_in, n_out), (N_FOLDS, 1, n_out)):
            start = torch.empty(shape).uniform_(-bound, bound, generator=generator)
            weights.append(start.requires_grad_())
    members = [
        [torch.nonzero((fold != k) & (labels == label)).squeeze(1) for label in (0.0, 1.0)]
        for k in range(N_FOLDS)
    ]
    optimizer = torch.optim.AdamW(weights, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        chosen = torch.stack(
            [
                torch.cat([m[torch.randint(len(m), (BATCH // 2,), generator=generator)] for m in both])
                for both in members
            ]
        )
        loss = binary_cross_entropy_with_logits(_logits(weights, data[chosen]), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return weights


def _logits(weights: list[Tensor], inputs: Tensor) -> Tensor:
    """[folds, batch, features] -> [folds, batch]."""
    w1, b1, w2, b2, w3, b3 = weights
    hidden = silu(torch.baddbmm(b1, inputs, w1))
    hidden = silu(torch.baddbmm(b2, hidden, w2))
    return torch.baddbmm(b3, hidden, w3).squeeze(-1)
