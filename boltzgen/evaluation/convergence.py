"""Did a run converge? Judged from its own weights and from frames that never saw the model.

Importance weights cannot see a mode that the model does not sample: its weights look splendid. The thermal
frames come from replica exchange that started in every basin the seed conformers found; a conformer of theirs
where the model has hardly any density is a mode that it has dropped.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from boltzgen.sampling.importance import MAX_PARETO_K

MIN_EFFECTIVE_SAMPLES = 100.0
MISSED_LOG_RATIO = math.log(100.0)  # conformers where the model has under 1 % of the Boltzmann density
REACHABLE_ENERGY = math.log(100.0)  # kT above the mean: higher conformers hold less than about 1 %
MAX_MISSED_SHARE = 0.01


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
    populations the short replica exchange could not settle (across high barriers) are left out by their mean
    energy where that is ln 100 above ``mean_reduced_energy``.
    """
    missed = 0
    for label in conformer.unique():
        members = conformer == label
        reachable = float(reduced_energies[members].double().mean()) < mean_reduced_energy + REACHABLE_ENERGY
        unseen = float(log_weights[members].double().median()) > log_z + MISSED_LOG_RATIO
        missed += int(members.sum()) if reachable and unseen else 0
    return missed / len(conformer)


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
