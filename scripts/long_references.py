"""Long references and how far a run is from them: what calibration.py judges runs by.

Conformers are those that the reference's torsions show; a run's samples are put into the same ones.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boltzgen.conformers import conformer_states, find_states
from boltzgen.ensemble import Ensemble
from boltzgen.models.flow import FlowModel
from boltzgen.sampling.importance import Estimate
from boltzgen.sampling.tempering import ladder_estimate
from boltzgen.systems import load_system
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

LEAST = 0.02  # population of a conformer that is looked at by itself
# A run is good where all of these hold beyond what errors explain, bad where one of the wider ones does not.
GOOD_DISTANCE, BAD_DISTANCE = 0.05, 0.10  # total variation of the conformers' populations
GOOD_MISSED, BAD_MISSED = (
    0.01,
    0.03,
)  # of the population, in conformers with under a tenth of what they should
GOOD_ENERGY, BAD_ENERGY = 0.3, 1.0  # kT, of ⟨U⟩
USEFUL_NOISE = 0.05  # total variation that the run's own size explains: beyond it a run is of no use


def make_reference(spec: str, folder: Path, picoseconds: float) -> dict:
    """Replica exchange of ``spec``, saved in ``folder``."""
    found = reference_ensemble(load_system(spec), ReferenceConfig(picoseconds=picoseconds))
    found.ensemble.save(folder)
    return {"converged": found.converged, "effective_samples": found.ensemble.effective_sample_size}


@dataclass(frozen=True)
class Conformers:
    """Indicators of the reference's conformers, the most populated first."""

    reference: Ensemble
    states: tuple
    combinations: np.ndarray

    @classmethod
    def of(cls, reference: Ensemble) -> "Conformers":
        weighted = reference.weights > 0
        x = reference.positions[weighted]
        states = find_states(reference.molecule, x, np.ones(len(x)))
        combinations, counts = np.unique(conformer_states(states, x), axis=0, return_counts=True)
        return cls(reference, states, combinations[np.argsort(-counts)])

    def members(self, ensemble: Ensemble) -> np.ndarray:
        """Whether each sample is in each conformer: bool [conformers, samples]."""
        found = conformer_states(self.states, ensemble.positions)
        return np.array([(found == one).all(axis=1) for one in self.combinations])

    def reference_estimate(self, values: np.ndarray) -> Estimate:
        """Mean of one value a frame of the reference, with its error between ladders."""
        by_ladder = torch.as_tensor(values, dtype=torch.float64).reshape(
            -1, self.reference.metadata["n_ladders"]
        )
        return ladder_estimate(by_ladder).mean


def distance_from_reference(run: Ensemble, reference: Ensemble) -> dict:
    """Total variation, missed population and the difference of ⟨U⟩, with the noise that errors explain.

    "truth": "good" or "bad" by the bounds above, "between" where neither, "useless" where the run has too few
    effective samples for its populations to mean anything.
    """
    conformers = Conformers.of(reference)
    ours = conformers.members(run) @ run.weights
    theirs = conformers.members(reference) @ reference.weights
    outside = max(1.0 - float(ours.sum()), 0.0)  # in conformers that the reference does not have
    distance = 0.5 * (float(np.abs(ours - theirs).sum()) + outside)
    spread = float(np.sqrt(theirs * (1 - theirs)).sum()) / math.sqrt(2 * math.pi)  # of one sample
    size = run.effective_sample_size
    own_noise = spread / math.sqrt(size) if size > 0 else math.inf
    noise = math.hypot(own_noise, spread / math.sqrt(reference.effective_sample_size))
    missed = float(theirs[(ours < 0.1 * theirs) & (theirs > 0.002)].sum())
    energy, exact = run.mean_energy, conformers.reference_estimate(reference.energies)
    apart = abs(energy.value - exact.value) / run.kT
    apart_noise = 2.0 * math.hypot(energy.stderr, exact.stderr) / run.kT
    excess, energy_excess = max(distance - noise, 0.0), max(apart - apart_noise, 0.0)
    good = excess <= GOOD_DISTANCE and missed <= GOOD_MISSED and energy_excess <= GOOD_ENERGY
    bad = excess > BAD_DISTANCE or missed > BAD_MISSED or energy_excess > BAD_ENERGY
    useless = not own_noise <= USEFUL_NOISE
    return {
        "distance": distance,
        "noise": noise,
        "missed": missed,
        "energy_apart_kT": apart,
        "energy_noise_kT": apart_noise,
        "truth": "bad" if bad else "useless" if useless else "good" if good else "between",
    }


def droppable(reference: Ensemble) -> tuple[int, float] | None:
    """The least conformer of 5 to 60 % and its population; None where there is no such one."""
    shares = Conformers.of(reference).members(reference) @ reference.weights
    usable = [k for k in range(len(shares)) if 0.05 <= shares[k] <= 0.6]
    return (usable[-1], float(shares[usable[-1]])) if usable else None


@contextmanager
def mode_dropped(reference: Ensemble, conformer: int) -> Iterator[None]:
    """Within, trained flows never sample a ``conformer`` and have no density there.

    What a model that has lost a mode is like: exact weights, and nothing amiss with them. Training itself
    would find the mode again, from the flow's own density or from the energy.
    """
    conformers = Conformers.of(reference)
    sample, density = FlowModel.sample_with_log_prob, FlowModel.log_prob

    def inside(x: torch.Tensor) -> torch.Tensor:
        found = conformer_states(conformers.states, x.detach().cpu().numpy())
        return torch.from_numpy((found == conformers.combinations[conformer]).all(axis=1))

    def sample_outside(self, n, generator=None):
        kept, drawn, parts = 0, 0, []
        while kept < n:
            x, log_q = sample(self, n, generator)
            outside = ~inside(x)
            parts.append((x[outside], log_q[outside]))
            kept, drawn = kept + int(outside.sum()), drawn + n
        x, log_q = (torch.cat(part)[:n] for part in zip(*parts, strict=True))
        return x, log_q - math.log(kept / drawn)

    def density_outside(self, x):
        return torch.where(inside(x), -torch.inf, density(self, x))

    FlowModel.sample_with_log_prob, FlowModel.log_prob = sample_outside, density_outside
    try:
        yield
    finally:
        FlowModel.sample_with_log_prob, FlowModel.log_prob = sample, density


def quantities(run: Ensemble, reference: Ensemble) -> dict[str, list[float]]:
    """Estimates (value, standard error) of conformers' populations, ⟨U⟩ and F in kT; and the reference's."""
    conformers = Conformers.of(reference)
    of_run, of_reference = conformers.members(run), conformers.members(reference)
    found: dict[str, list[float]] = {}
    for k in range(len(of_run)):
        expected = conformers.reference_estimate(of_reference[k])
        if LEAST <= expected.value <= 1.0 - LEAST:
            found[f"population {k}"] = [*run.mean(of_run[k]), *expected]
    expected = conformers.reference_estimate(reference.energies)
    found["U/kT"] = [value / run.kT for value in (*run.mean_energy, *expected)]
    found["F/kT"] = [run.free_energy_kT, run.free_energy_stderr_kT]
    return found
