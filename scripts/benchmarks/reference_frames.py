"""What frames of a reference say of a model with a density. Shared by the benchmarks here."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.evaluation.metrics import cross_entropy
from boltzgen.models.model import GenerativeModel
from boltzgen.sampling.importance import Estimate, forward_effective_sample_size_fraction

CHUNK = 4096


@dataclass(frozen=True)
class Forward:
    """−E_p[log q] (nats) and forward ESS 1/(E_p[w] E_p[1/w]); how many frames the model cannot produce.

    The cross entropy leaves these frames out; any of them makes the forward ESS zero.
    """

    cross_entropy: Estimate
    ess_fraction: float
    n_outside: int


@torch.no_grad()
def forward(
    model: GenerativeModel, target: BoltzmannTarget, positions: np.ndarray, effective_sample_size: float
) -> Forward:
    """Figures of ``model`` from ``positions`` [frames, atoms, 3] in nm of the target's distribution.

    ``effective_sample_size``: how many independent frames they are worth. The cross entropy is nan where the
    model produces too few of them.
    """
    frames = torch.from_numpy(np.ascontiguousarray(positions)).to(next(model.parameters()).device)
    log_prob = torch.cat([model.log_prob(chunk) for chunk in frames.split(CHUNK)]).double()
    u = torch.cat([target.reduced_energy(chunk) for chunk in frames.split(CHUNK)]).double()
    produced = log_prob > -torch.inf
    independent = min(float(produced.sum()), effective_sample_size)
    try:
        entropy = cross_entropy(log_prob[produced].cpu().numpy(), independent)
    except InputError:
        entropy = Estimate(math.nan, math.nan)
    return Forward(
        entropy,
        forward_effective_sample_size_fraction(-u - log_prob),
        int((~produced).sum()),
    )
