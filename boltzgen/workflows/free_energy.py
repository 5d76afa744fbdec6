"""Free energies: a molecule in, F with its errors out; or the difference between two states, or two isomers.

A run of ``sample`` trains a flow for each state. Fresh samples of it, and frames of a new replica exchange,
give every estimator of ``thermodynamics/``; more of both are made until the error
asked for is reached or the time is over.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen.ensemble_folder import CONFIG, require_free_folder
from boltzgen.errors import InputError
from boltzgen.files.whole import write_whole
from boltzgen.models.flow import FlowConfig
from boltzgen.progress import Report, Spent, Stopwatch, silent
from boltzgen.records.free_energy import FreeEnergySummary
from boltzgen.settings import HIGHEST_TEMPERATURE
from boltzgen.thermodynamics.basins import basins
from boltzgen.thermodynamics.conventions import CONVENTION, ISOMER_CONVENTION
from boltzgen.thermodynamics.regions import Region, parse_region
from boltzgen.training.families import family
from boltzgen.units import KJ_PER_KCAL
from boltzgen.workflows.config import SampleConfig, require_sane, sample_config, whole_budget
from boltzgen.workflows.free_energy_difference import difference
from boltzgen.workflows.ideal_gas import ideal_gas as gas_entropy
from boltzgen.workflows.ideal_gas import require_gas, require_vacuum
from boltzgen.workflows.isomers import isomer_caveats, log_symmetry_numbers, require_isomers
from boltzgen.workflows.sample import run_sample
from boltzgen.workflows.state_data import LadderRun, StateData, drawn_samples, joined
from boltzgen.workflows.state_free_energy import StateResult, state_result
from boltzgen.workflows.trained_state import TrainedState
from boltzgen.workflows.versions import package_versions

FREE_ENERGY = "free-energy.json"
NAMES = {"T": "temperature"}  # short ones for --between
FRAMES_SHARE = 0.35  # of the time of the run: for samples and frames after it
MOST_PASSES = 8
CURVE_POINTS, CURVE_STEP = 6, 25.0  # K
SIDES = ("first", "second")


def free_energy(
    molecule: str | Path,
    *,
    between: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
    states: Sequence[str] = (),
    temperatures: Sequence[float] | None = None,
    ideal_gas: bool = False,
    to: str | Path | None = None,
    error: float | None = None,
    out: str | Path | None = None,
    report: Report = silent,
    **settings: Any,
) -> FreeEnergySummary:
    """The free energy of ``molecule``, or the difference between two of its states.

    Parameters
    ----------
    molecule
        A SMILES, a file, a peptide sequence or a named system; or the folder of a finished run of ``sample``
        or of this function, which goes on with what is there.
    between
        Settings of two states, like ``({"solvent": "vacuum"}, {"solvent": "water"})``.
    states
        Regions of configurations whose populations are wanted, like
        ``"gauche: torsion 0-1-2-3 in [-120, 120]"`` (see ``thermodynamics/regions.py``). By default the
        basins that chemists name: anti and gauche, axial and equatorial, hydrogen bonds.
    temperatures
        K, of a curve of F, U, S and C; by default six from the state's own in steps of 25 K.
    ideal_gas
        Whether S°(T) of the ideal gas at 1 bar is wanted, with a harmonic quantum correction.
    to
        An isomer of ``molecule``, of which the difference is wanted.
    error
        Standard error in kcal/mol to reach within the budget.
    out
        Folder for the results.
    report
        Is told of the progress.
    **settings
        As ``sample`` has them, like ``temperature``, ``solvent``, ``budget`` (of each state) or ``seed``.

    Returns
    -------
    FreeEnergySummary
        One that did not converge says so in ``converged`` and ``warnings``.

    Raises
    ------
    InputError
        For input that cannot be used, in one sentence.
    """
    watch = Stopwatch(report)
    known = _finished_runs(Path(molecule))
    if known and between is not None:
        raise InputError(
            f"{molecule} holds finished runs: give the molecule itself to compare two states of it."
        )
    if to is not None and between is not None:
        raise InputError("Give another molecule or another state of this one, not both.")
    configs = []
    if not known:
        molecules = [str(molecule)] * len(between or ({},)) + ([] if to is None else [str(to)])
        sides = [settings | _named(own) for own in between or ({},)] + ([] if to is None else [settings])
        configs = [
            sample_config({"molecule": one, "answer": "model"} | side)  # frames alone have no ln Z
            for one, side in zip(molecules, sides, strict=True)
        ]
        _require_usable(configs)
        for config in configs if ideal_gas else ():
            require_vacuum(config.solvent)
        if to is not None:
            require_isomers(*configs)
    with _results_folder(out) as folder:
        for config, side in zip(configs, SIDES, strict=False):
            run_sample(config, folder / side, watch=Stopwatch(report))  # of its own: a budget begins here
        sources = known or [folder / side for side in SIDES[: len(configs)]]
        summary = _summary(sources, states, temperatures, ideal_gas, error, settings.get("budget"), watch)
        if out is not None:
            write_whole(folder / FREE_ENERGY, lambda path: path.write_text(summary.to_json()))
    return summary


def _summary(
    folders: Sequence[Path],
    texts: Sequence[str],
    temperatures: Sequence[float] | None,
    ideal_gas: bool,
    error: float | None,
    budget: float | None,
    watch: Stopwatch,
) -> FreeEnergySummary:
    """What the finished runs in ``folders`` say, one or two of them."""
    with watch.stage("loading"):
        trained = [TrainedState.of_folder(folder) for folder in folders]
    for state in trained if ideal_gas else ():
        require_gas(state)
    names = _state_names([state.config for state in trained])
    results = []
    for index, (state, name) in enumerate(zip(trained, names, strict=True)):
        regions = [parse_region(text, state.system.molecule) for text in texts]
        wanted = () if len(folders) > 1 or state.is_costly else _curve_temperatures(state, temperatures)
        allowed = None if error is None else error / len(folders) ** 0.5 * KJ_PER_KCAL
        result = _measured(state, name, index, regions, wanted, allowed, budget, watch)
        if ideal_gas:
            with watch.stage("ideal gas", name):
                gas = gas_entropy(result)
            result = replace(result, record=result.record.model_copy(update={"ideal_gas": gas}))
        results.append(result)
    apart, isomers = None, False
    if len(results) == 2:
        isomers = trained[0].system.molecule.smiles != trained[1].system.molecule.smiles
        with watch.stage("difference"):
            apart = difference(results[0], results[1], log_symmetry_numbers(*trained) if isomers else None)
        for caveat in isomer_caveats(*trained) if isomers else ():
            watch.warn(caveat)
    warnings = [f"{r.record.name}: {w}" if apart else w for r in results for w in r.record.warnings]
    if apart is not None:
        warnings += [
            f"'{one.first}' and '{one.second}' differ by {one.difference_kJ_mol:.3f} ±"
            f" {one.stderr_kJ_mol:.3f} kJ/mol"
            for one in apart.disagreements
        ]
    return FreeEnergySummary(
        convention=ISOMER_CONVENTION if isomers else CONVENTION,
        states=[result.record for result in results],
        difference=apart,
        converged=all(r.record.converged for r in results) and not (apart and apart.disagreements),
        warnings=warnings + [w for w in watch.warnings if w not in warnings],
        n_energy_evaluations=sum(
            state.target.evaluations + int(state.ensemble.metadata.get("n_energy_evaluations", 0))
            for state in trained
        ),
        wall_seconds={**watch.seconds, "total": watch.elapsed},
        versions=package_versions(),
    )


def _measured(
    state: TrainedState,
    name: str,
    index: int,
    regions: Sequence[Region],
    temperatures: Sequence[float],
    allowed: float | None,
    budget: float | None,
    watch: Stopwatch,
) -> StateResult:
    """Samples and frames of ``state`` until the error is ``allowed`` (kJ/mol), or until the time is over."""
    config = state.config
    generator = torch.Generator(state.device).manual_seed(config.seed + 7919 * (index + 1))
    by_time = config.training.max_steps is None or config.budget_seconds is not None or budget is not None
    seconds = FRAMES_SHARE * (budget or whole_budget(config, state.target.n_atoms)) if by_time else None
    spent = watch.allowance(seconds)
    samples = drawn_samples(state, config.n_samples, generator, watch)
    ladder = None if state.is_costly else _ladder(state, temperatures, generator)
    for attempt in range(MOST_PASSES):
        with watch.stage("replica exchange", name):
            share = spent() + (1.0 - spent()) / (2.0 if allowed and attempt == 0 else 1.0)
            if ladder is not None:
                ladder.extend(watch, _until(share, spent))
        with watch.stage("estimators", name):
            data = StateData(state, samples, None if ladder is None else ladder.frames())
            result = state_result(data, name, index, _inside(data, regions), temperatures)
        reached = allowed is None or result.record.free_energy_stderr_kJ_mol <= allowed
        if reached or state.is_costly or spent() >= 1.0:
            break
        samples = joined(samples, drawn_samples(state, len(samples.log_prob), generator, watch))
    if not reached:
        watch.warn(
            f"the standard error of '{name}' is {result.record.free_energy_stderr_kJ_mol / KJ_PER_KCAL:.3f}"
            " kcal/mol, larger than asked for: give a larger --budget"
        )
    return result


def _until(share: float, spent: Spent) -> Spent:
    """Spending of the part of the time that ends at ``share`` of it."""
    return lambda: spent() / share


def _ladder(state: TrainedState, temperatures: Sequence[float], generator: torch.Generator) -> LadderRun:
    """A replica exchange that covers ``temperatures`` and what the run's own covered."""
    own = state.config.temperature
    hottest = max(state.config.frames.hot_factor * own, *temperatures, own)
    return LadderRun(state, min([own, *temperatures]), hottest, generator)


def _inside(data: StateData, regions: Sequence[Region]) -> dict[str, np.ndarray]:
    """Which samples, and then which frames, are in each region, or in each basin where none is given."""
    x = data.samples.positions.numpy()
    weights = np.exp(data.samples.log_weights - data.samples.log_weights.max())
    weights /= weights.sum()
    if data.frames is not None:
        frames = data.frames.positions.flatten(0, 1).numpy()
        x = np.concatenate([x, frames])
        weights = np.concatenate([weights, np.full(len(frames), 1.0 / len(frames))])
    if not regions:
        return basins(data.state.system.molecule, x, weights)
    return {region.name: region.holds(x) for region in regions}


def _curve_temperatures(state: TrainedState, given: Sequence[float] | None) -> list[float]:
    """Temperatures (K) of the curve: those ``given``, or six from the state's own upwards."""
    if given is None:
        return [state.config.temperature + CURVE_STEP * k for k in range(CURVE_POINTS)]
    for temperature in given:
        if not 0 < temperature <= HIGHEST_TEMPERATURE:
            raise InputError(
                f"A curve at {temperature} K cannot be had; give positive temperatures of at most"
                f" {HIGHEST_TEMPERATURE:g} K."
            )
    return [float(temperature) for temperature in given]


def _finished_runs(folder: Path) -> list[Path]:
    """The run in ``folder``, or the one or two that an earlier free energy left in it."""
    return [path for path in (folder, *(folder / side for side in SIDES)) if (path / CONFIG).exists()]


def _require_usable(configs: Sequence[SampleConfig]) -> None:
    """Raises InputError for states that are the same, and for models without an exact density."""
    _state_names(configs)
    for config in configs:
        require_sane(config)
        if family(config.model).config is not FlowConfig:
            raise InputError(
                f"Model '{config.model}' has no exact density, which a free energy needs: give model 'flow'."
            )


def _named(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {NAMES.get(name, name): value for name, value in settings.items()}


def _state_names(configs: Sequence[SampleConfig]) -> list[str]:
    """Of one state its temperature, of two what tells them apart."""
    if len(configs) == 1:
        return [f"{configs[0].temperature:g} K"]
    differing = [
        name for name in SampleConfig.model_fields if getattr(configs[0], name) != getattr(configs[1], name)
    ]
    short = {long: name for name, long in NAMES.items()}
    names = [
        ", ".join(f"{short.get(name, name)}={getattr(config, name)}" for name in differing)
        for config in configs
    ]
    if not differing:
        raise InputError("The two states are the same: give settings that differ, like T=300 and T=400.")
    return names


@contextmanager
def _results_folder(out: str | Path | None) -> Iterator[Path]:
    """``out``, which must hold no results, or a folder that is removed afterwards."""
    if out is None:
        with tempfile.TemporaryDirectory(prefix="boltzgen-free-energy-") as folder:
            yield Path(folder)
        return
    require_free_folder(Path(out))
    Path(out).mkdir(parents=True, exist_ok=True)
    yield Path(out)
