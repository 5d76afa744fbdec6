"""Did a run converge? Judged from its own weights and from walkers that never saw the model.

Importance weights cannot see a mode that the model does not sample: its weights look splendid. The walkers
that made the thermal frames started in every basin that seeds and hot dynamics found; where the model has
hardly any density at their frames, it has dropped a mode.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

MIN_EFFECTIVE_SAMPLES = 100.0
MAX_PARETO_K = 0.7  # Vehtari et al. 2024: above it, importance sampling estimates are not reliable
MISSED_LOG_RATIO = math.log(100.0)  # frames where the model has under 1 % of the Boltzmann density
REACHABLE_ENERGY = math.log(100.0)  # kT above the mean: basins that may hold 1 % of the population
MAX_MISSED_SHARE = 0.01


@dataclass(frozen=True)
class Verdict:
    """Whether to trust a run, one sentence for every reason not to, and the share of walkers missed."""

    converged: bool
    warnings: list[str]
    missed_walker_share: float


def missed_walker_share(
    log_weights: Float[Tensor, " frames"],
    reduced_energies: Float[Tensor, " frames"],
    walker: Int[Tensor, " frames"],
    log_z: float,
    mean_reduced_energy: float,
) -> float:
    """Share of the walkers with reachable energy whose frames the model hardly ever makes.

    ``log_weights``: −u − log q of the frames. A frame at equilibrium in a well-modelled basin has
    log w ≈ log Z; a walker is missed if its mean log w lies ln 100 above.
    """
    n_walkers = int(walker.max()) + 1
    counts = torch.bincount(walker, minlength=n_walkers).clamp_min(1)

    def walker_mean(values: Tensor) -> Tensor:
        finite = torch.nan_to_num(values.double(), nan=1e6, posinf=1e6, neginf=-1e6)
        return torch.zeros(n_walkers, dtype=torch.float64).index_add_(0, walker, finite) / counts

    reachable = walker_mean(reduced_energies) < mean_reduced_energy + REACHABLE_ENERGY
    missed = reachable & (walker_mean(log_weights) > log_z + MISSED_LOG_RATIO)
    return float(missed.sum() / reachable.sum().clamp_min(1))


def judge(effective_sample_size: float, pareto_k: float, missed: float) -> Verdict:
    """The verdict on a run from Kish's ESS, Pareto-k of its weights and the share of walkers missed."""
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
            f"{100 * missed:.0f} % of the test walkers are in conformations that the model hardly samples:"
            " populations and free energy leave these out; give a larger --budget"
        )
    return Verdict(not warnings, warnings, missed)
