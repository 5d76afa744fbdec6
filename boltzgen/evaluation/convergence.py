"""Did a run converge? Judged from its own weights and from frames that never saw the model.

Importance weights cannot see a mode that the model does not sample: its weights look splendid. The thermal
frames come from replica exchange that started in every basin the seed conformers found; a conformer of theirs
where the model has hardly any density is a mode that it has dropped. So is a part of a conformer that frames
visit more often than the model's own samples, weighted, do.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from boltzgen.sampling.importance import MAX_PARETO_K

MIN_EFFECTIVE_SAMPLES = 100.0
MISSED_LOG_RATIO = math.log(100.0)  # conformers where the model has under 1 % of the Boltzmann density
REACHABLE_ENERGY = math.log(100.0)  # kT above the mean: higher conformers hold less than about 1 %
MAX_MISSED_SHARE = 0.01
SURE_ERRORS = 3.0  # standard errors from which shares of frames and of samples differ


@dataclass(frozen=True)
class Verdict:
    """Whether to trust a run, one sentence for every reason not to, and the share of the frames missed."""

    converged: bool
    warnings: list[str]
    missed_share: float


def missed_share(
    log_weights: Float[Tensor, " frames"],
    reduced_energies: Float[Tensor, " frames"],
    conformer: Int[Tensor, " frames"],
    log_z: float,
    mean_reduced_energy: float,
) -> float:
    """Share of the frames in conformers of reachable energy that the model hardly ever makes.

    ``log_weights``: −u − log q of the frames. Frames at equilibrium in a conformer that the model has right
    have log w ≈ log Z; a conformer is missed if the median of its frames lies ln 100 above. Conformers whose
    populations the short replica exchange could not settle (across high barriers) are left out, see
    ``reachable``.
    """
    missed = 0
    counted = reachable(reduced_energies, conformer, mean_reduced_energy)
    for label in conformer[counted].unique():
        members = conformer == label
        if float(log_weights[members].double().median()) > log_z + MISSED_LOG_RATIO:
            missed += int(members.sum())
    return missed / len(conformer)


def reachable(
    reduced_energies: Float[Tensor, " frames"], conformer: Int[Tensor, " frames"], mean_reduced_energy: float
) -> Bool[Tensor, " frames"]:
    """Which frames are in conformers with a mean energy below ``mean_reduced_energy`` plus ln 100."""
    result = torch.zeros(len(conformer), dtype=torch.bool)
    for label in conformer.unique():
        members = conformer == label
        mean = float(reduced_energies[members].double().mean())
        result[members] = mean < mean_reduced_energy + REACHABLE_ENERGY
    return result


def unseen_share(
    log_weights: Float[Tensor, " frames"],
    ladder: Int[Tensor, " frames"],
    sample_log_weights: Float[Tensor, " samples"],
    effective_samples: float,
    log_z: float,
) -> float:
    """Share of the frames where the model has too little density, beyond what its own weights tell.

    With A the configurations with w > 100 Z, P(A) is estimated from frames, and from samples of the model
    that were drawn by their weights. Both agree where the model lacks nothing: a tail of the weights is in
    both. Where it has no density at all only the frames know. In contrast to ``missed_share`` this sees a
    part of a conformer. Zero where the two are within three standard errors, of which those of the frames
    are taken between ladders.

    Parameters
    ----------
    log_weights
        −u − log q of frames of reachable conformers.
    ladder
        The ladder of each, as frames of one ladder depend on each other.
    sample_log_weights
        −u − log q of samples drawn by weight.
    effective_samples
        How many independent ones these are worth.
    log_z
        ln Z by the samples.
    """
    unseen = (log_weights.double() > log_z + MISSED_LOG_RATIO).double()
    expected = float((sample_log_weights.double() > log_z + MISSED_LOG_RATIO).double().mean())
    counts = torch.bincount(ladder).double()
    sums = torch.bincount(ladder, weights=unseen)[counts > 0]
    counts = counts[counts > 0]
    n = len(counts)
    share = float(unseen.mean())
    between = float((sums - share * counts).square().sum() / counts.sum().square()) * n / max(n - 1, 1)
    # A share of which no sample is seen may be some effective samples' worth.
    own = max(expected * (1.0 - expected), 1.0 / max(effective_samples, 1.0)) / max(effective_samples, 1.0)
    excess = share - expected
    return excess if excess > SURE_ERRORS * math.sqrt(between + own) else 0.0


def judge(effective_sample_size: float, pareto_k: float, missed: float) -> Verdict:
    """The verdict on a run from Kish's ESS, Pareto-k of its weights and the share of the frames missed."""
    warnings = []
    if not effective_sample_size >= MIN_EFFECTIVE_SAMPLES:
        warnings.append(
            f"only {effective_sample_size:.1f} effective samples: averages and free energy are rough guesses;"
            " give a larger --budget or more samples"
        )
    if not pareto_k <= MAX_PARETO_K:
        warnings.append(
            f"Pareto-k is {pareto_k:.2f}, above {MAX_PARETO_K}: the weights' tail is too heavy for the errors"
            " given here to hold; give a larger --budget"
        )
    if missed > MAX_MISSED_SHARE:
        warnings.append(
            f"about {100 * missed:.0f} % of the population, by replica exchange, is in conformers that the"
            " model hardly samples: populations and free energy leave these out; give a larger --budget"
        )
    return Verdict(not warnings, warnings, missed)
