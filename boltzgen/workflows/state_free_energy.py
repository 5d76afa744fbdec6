"""The free energy of one trained state by every estimator that applies, and what goes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool

from boltzgen.records.free_energy import (
    EstimatorDisagreement,
    FreeEnergyEstimate,
    RegionPopulation,
    StateFreeEnergy,
    TemperatureCurve,
)
from boltzgen.sampling.importance import WeightStatistics
from boltzgen.thermodynamics.agreement import disagreements, reported
from boltzgen.thermodynamics.averages import average
from boltzgen.thermodynamics.blocks import Bootstrapped, bootstrapped, drawn_blocks, independent
from boltzgen.thermodynamics.estimators import (
    BENNETT,
    IMPORTANCE,
    LADDERS,
    WeightedData,
    bounds,
    estimates,
    model_overlap,
)
from boltzgen.thermodynamics.temperature import Curve, temperature_curve
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.state_data import StateData

REFINED = "refined weights"
PREFERENCE = (BENNETT, REFINED, IMPORTANCE)
# Of the population of a region by weights and by frames: there may be a dozen regions.
LEAST_POPULATION_DIFFERENCE, MOST_POPULATION_ERRORS = 0.01, 4.0
DISAGREE = (
    "'{}' and '{}' differ by {:.3f} ± {:.3f} kJ/mol: a conformer may be missing from the model, or from"
    " replica exchange; give a larger --budget"
)
LEAST_OVERLAP, LEAST_EFFECTIVE = 0.05, 100.0
TOO_LITTLE = (
    "the model and the ensemble have too little in common (overlap {:.3f}, {:.0f} effective samples): give a"
    " larger --budget"
)
ENERGY_DISAGREES = (
    "the mean energy is {:.2f} kJ/mol by importance weights and {:.2f} by replica exchange; give a larger"
    " --budget"
)
REGION_DISAGREES = (
    "the population of '{}' is {:.1f} % by importance weights and {:.1f} % by replica exchange; give a larger"
    " --budget"
)
J_PER_KJ = 1000.0


@dataclass(frozen=True, eq=False)
class StateResult:
    """Estimates of f = F/kT by name, the reported one, ⟨U⟩ in kJ/mol, and the record of all that."""

    data: StateData
    seed: int
    found: Mapping[str, Bootstrapped]
    best: str
    energy: Bootstrapped
    record: StateFreeEnergy

    @property
    def kT(self) -> float:
        """kJ/mol."""
        return self.data.state.target.kT

    def free_energy(self, name: str | None = None) -> Bootstrapped:
        """F in kJ/mol by the estimator ``name``, by default the reported one."""
        return scaled(self.found[name or self.best], self.kT)


def state_result(
    data: StateData,
    name: str,
    seed: int,
    regions: Mapping[str, Bool[np.ndarray, " samples_and_frames"]],
    temperatures: Sequence[float] = (),
) -> StateResult:
    """All about the state of ``data``.

    ``regions``: of each by name, which samples and then which frames, ladder by ladder, are in it.
    """
    weighted, ensemble, state = data.weighted, data.state.ensemble, data.state
    kT = state.target.kT
    found = estimates(weighted, seed)
    if ensemble.metadata.get("refinement") and ensemble.metadata.get("answer", "model") == "model":
        found[REFINED] = independent(-ensemble.log_z.value, ensemble.log_z.stderr, (seed, 2))
    best = reported(found, PREFERENCE)
    f = found[best]
    frames = data.frames
    energy = average(
        data.samples.reduced_energies * kT,
        None if frames is None else frames.reduced_energies * kT,
        weighted,
        f.value,
        seed,
    )
    entropy = (energy.value - f.value * kT) / state.target.temperature
    entropy_stderr = np.std(energy.replicates - kT * f.replicates, ddof=1) / state.target.temperature
    differing = disagreements(found)
    by_weights, by_frames = _energies_apart(data, weighted, seed)
    same_energy = by_frames is None or not disagreements(
        {"weights": by_weights, "frames": by_frames}, 0.0, MOST_POPULATION_ERRORS
    )
    populations = [
        _population(name, inside, data, weighted, f.value, seed) for name, inside in regions.items()
    ]
    statistics = WeightStatistics.of(torch.from_numpy(data.samples.log_weights))
    limits = bounds(weighted)
    overlap = model_overlap(weighted, found[BENNETT].value) if BENNETT in found else math.nan
    enough = overlap >= LEAST_OVERLAP or statistics.effective_sample_size >= LEAST_EFFECTIVE
    warnings = list(ensemble.metadata.get("warnings", []))
    warnings += [
        DISAGREE.format(one.first, one.second, kT * one.difference, kT * one.stderr) for one in differing
    ]
    warnings += [
        REGION_DISAGREES.format(one.name, 100 * one.by_importance_weights, 100 * one.by_replica_exchange)
        for one in populations
        if not one.agrees
    ]
    if not same_energy and by_frames is not None:
        warnings.append(ENERGY_DISAGREES.format(by_weights.value, by_frames.value))
    warnings += [] if enough else [TOO_LITTLE.format(overlap, statistics.effective_sample_size)]
    record = StateFreeEnergy(
        name=name,
        molecule=state.system.molecule.smiles,
        forcefield=state.system.forcefield,
        solvent=state.system.solvent,
        temperature_K=state.target.temperature,
        n_atoms=state.system.molecule.n_atoms,
        n_samples=len(data.samples.log_prob),
        n_ladders=0 if frames is None else len(frames.log_prob),
        n_frames=0 if frames is None else frames.log_prob.size,
        effective_sample_size=statistics.effective_sample_size,
        pareto_k=statistics.pareto_k,
        model_overlap=overlap,
        estimator=best,
        free_energy_kJ_mol=kT * f.value,
        free_energy_stderr_kJ_mol=kT * f.stderr,
        free_energy_kcal_mol=kT * f.value / KJ_PER_KCAL,
        free_energy_stderr_kcal_mol=kT * f.stderr / KJ_PER_KCAL,
        estimates=estimate_records(found, kT),
        disagreements=disagreement_records(found, kT),
        upper_bound_kJ_mol=kT * limits.upper,
        lower_bound_kJ_mol=math.nan if limits.lower is None else kT * limits.lower,
        mean_energy_kJ_mol=energy.value,
        mean_energy_stderr_kJ_mol=energy.stderr,
        entropy_J_mol_K=J_PER_KJ * entropy,
        entropy_stderr_J_mol_K=J_PER_KJ * float(entropy_stderr),
        regions=populations,
        curve=_curve_record(state_curve(data, temperatures, seed), f, kT) if len(temperatures) else None,
        converged=not differing
        and enough
        and same_energy
        and all(one.agrees for one in populations)
        and bool(ensemble.metadata.get("converged", True)),
        warnings=warnings,
    )
    return StateResult(data, seed, found, best, energy, record)


def state_curve(data: StateData, temperatures: Sequence[float], seed: int) -> Curve:
    """ln Z relative to that at the state's temperature, ⟨U⟩ and C at ``temperatures``, from the ladder."""
    assert data.frames is not None
    return temperature_curve(
        data.frames.ladder_energies,
        data.frames.temperatures,
        np.asarray(temperatures, dtype=np.float64),
        data.state.target.temperature,
        (seed, LADDERS),
    )


def estimate_records(found: Mapping[str, Bootstrapped], unit: float) -> list[FreeEnergyEstimate]:
    """``found`` in units of 1/``unit`` kJ/mol, as records."""
    return [
        FreeEnergyEstimate(
            estimator=name,
            free_energy_kJ_mol=unit * one.value,
            stderr_kJ_mol=unit * one.stderr,
            bias_kJ_mol=unit * one.bias,
        )
        for name, one in found.items()
    ]


def disagreement_records(found: Mapping[str, Bootstrapped], unit: float) -> list[EstimatorDisagreement]:
    """Estimators of ``found`` that differ too much, as records."""
    return [
        EstimatorDisagreement(
            first=one.first,
            second=one.second,
            difference_kJ_mol=unit * one.difference,
            stderr_kJ_mol=unit * one.stderr,
        )
        for one in disagreements(found)
    ]


def scaled(one: Bootstrapped, factor: float) -> Bootstrapped:
    """``one`` in other units."""
    return Bootstrapped(
        factor * one.value, abs(factor) * one.stderr, factor * one.bias, factor * one.replicates
    )


def _energies_apart(
    data: StateData, weighted: WeightedData, seed: int
) -> tuple[Bootstrapped, Bootstrapped | None]:
    """⟨U⟩ in kJ/mol by importance weights alone, and by frames alone where there are any."""
    kT = data.state.target.kT
    by_weights = average(data.samples.reduced_energies * kT, None, weighted, 0.0, seed)
    if data.frames is None:
        return by_weights, None
    draws = [(rows,) for rows in drawn_blocks(len(data.frames.log_prob), (seed, LADDERS))]
    energies = data.frames.reduced_energies * kT
    return by_weights, bootstrapped(lambda values: float(values.mean()), (energies,), draws)


def _population(
    name: str,
    inside: Bool[np.ndarray, " samples_and_frames"],
    data: StateData,
    weighted: WeightedData,
    f: float,
    seed: int,
) -> RegionPopulation:
    kT, n = data.state.target.kT, len(data.samples.log_prob)
    of_samples = inside[:n].astype(np.float64)
    of_frames = None if data.frames is None else inside[n:].reshape(data.frames.log_prob.shape) * 1.0
    both = average(of_samples, of_frames, weighted, f, seed)
    by_weights = average(of_samples, None, weighted, f, seed)
    by_frames, agrees = math.nan, True
    if of_frames is not None:
        drawn = [(rows,) for rows in drawn_blocks(len(of_frames), (seed, LADDERS))]
        alone = bootstrapped(lambda values: float(values.mean()), (of_frames,), drawn)
        by_frames = alone.value
        agrees = not disagreements(
            {"weights": by_weights, "frames": alone}, LEAST_POPULATION_DIFFERENCE, MOST_POPULATION_ERRORS
        )
    p = min(max(both.value, 0.0), 1.0)
    return RegionPopulation(
        name=name,
        population=p,
        population_stderr=both.stderr,
        free_energy_kJ_mol=-kT * math.log(p) if p > 0 else math.inf,
        free_energy_stderr_kJ_mol=kT * both.stderr / p if p > 0 else math.inf,
        by_importance_weights=by_weights.value,
        by_replica_exchange=by_frames,
        agrees=agrees,
    )


def _curve_record(curve: Curve, f: Bootstrapped, kT: float) -> TemperatureCurve:
    """The curve with absolute free energies: F(T) = kT (f₀ + ln Z₀ − ln Z(T))."""
    n = len(curve.relative) - 1
    kT_each = kT * curve.temperatures / curve.anchor
    free = kT_each * (f.value + curve.relative[0])
    spread = kT_each * (f.replicates[:n, None] + curve.relative[1:])
    entropy = (curve.energy[0] - free) / curve.temperatures
    entropy_spread = (curve.energy[1:] - spread) / curve.temperatures

    def error(replicates: np.ndarray) -> list[float]:
        return (replicates.std(axis=0, ddof=1) * curve.factor).tolist()

    return TemperatureCurve(
        temperatures_K=curve.temperatures.tolist(),
        free_energy_kJ_mol=free.tolist(),
        free_energy_stderr_kJ_mol=error(spread),
        mean_energy_kJ_mol=curve.value("energy").tolist(),
        mean_energy_stderr_kJ_mol=curve.stderr("energy").tolist(),
        entropy_J_mol_K=(J_PER_KJ * entropy).tolist(),
        entropy_stderr_J_mol_K=error(J_PER_KJ * entropy_spread),
        heat_capacity_J_mol_K=(J_PER_KJ * curve.value("heat_capacity")).tolist(),
        heat_capacity_stderr_J_mol_K=(J_PER_KJ * curve.stderr("heat_capacity")).tolist(),
        effective_share=curve.effective_share.tolist(),
    )
