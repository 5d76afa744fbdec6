"""All models side by side: one molecule, one energy, one set of frames, one budget, one reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import require_free_folder
from boltzgen.errors import InputError
from boltzgen.evaluation.claims import Claim, claims
from boltzgen.evaluation.comparison import Yardstick
from boltzgen.evaluation.description import Described, describe
from boltzgen.evaluation.results import ModelResult
from boltzgen.files.lock import FolderLock
from boltzgen.files.whole import write_whole
from boltzgen.molecules.torsions import conformer_torsions
from boltzgen.problem import Problem
from boltzgen.progress import Stopwatch
from boltzgen.records.comparison import ClaimRow, ComparisonFacts, ComparisonSummary, ReferenceFacts
from boltzgen.report.comparison_page import comparison_page
from boltzgen.systems import load_system
from boltzgen.workflows.compared_models import ComparisonSetup, compared_model
from boltzgen.workflows.comparison_entries import CompareConfig, comparison_entries
from boltzgen.workflows.devices import select_device
from boltzgen.workflows.given_reference import load_reference, reference_warnings
from boltzgen.workflows.preparation import prepare
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble
from boltzgen.workflows.reference_parts import reference_parts
from boltzgen.workflows.versions import package_versions

COMPARISON, PAGE = "comparison.json", "comparison.html"
HOTTEST = 900.0  # kelvin


@dataclass(frozen=True)
class ModelComparison:
    """What came of a comparison. ``facts``: of the run, with units in the names.

    reference: the frames that models are judged by. samples: of each model, as generated, by its label.
    """

    facts: ComparisonFacts
    results: list[ModelResult]
    claims: list[Claim]
    yardstick: Yardstick
    samples: dict[str, Described]

    def summary(self) -> ComparisonSummary:
        """All of it but the frames, as ``comparison.json`` has it."""
        return ComparisonSummary(
            **dict(self.facts),
            models=[result.row() for result in self.results],
            claims=[ClaimRow(**asdict(claim)) for claim in self.claims],
        )


def run_compare(
    config: CompareConfig, out: str | Path | None = None, watch: Stopwatch | None = None
) -> ModelComparison:
    """Trains every model of ``config``, measures all of them alike, and writes the files to ``out``.

    A model that fails keeps its row, which says what happened. Raises InputError on bad input.
    """
    watch = watch or Stopwatch()
    comparison_entries(config)  # refused before a folder is made
    if out is None:
        return _compared(config, None, watch)
    with FolderLock(Path(out)):
        return _compared(config, require_free_folder(out, (COMPARISON, PAGE)), watch)


def _compared(config: CompareConfig, folder: Path | None, watch: Stopwatch) -> ModelComparison:
    """The comparison, its files in ``folder``."""
    entries = comparison_entries(config)
    preparation = config.preparation()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = torch.Generator(select_device(config.device)).manual_seed(config.seed)
        with watch.stage("seed conformers"):
            system = load_system(
                config.molecule, config.forcefield, config.solvent, config.release_constraints
            )
            given = config.reference
            reference = None if given is None else load_reference(given, system, config.temperature)
        problem = prepare(preparation, generator, watch, system)
        molecule = problem.molecule
        if molecule.n_atoms < 2:
            raise InputError(
                f"'{molecule.smiles}' is a single atom with nothing to compare; give a molecule."
            )
        shared = problem.target.evaluations
        reference = reference or _reference(config, problem, watch)
        setup = _setup(config, problem, reference, shared, watch)
        results = [compared_model(setup, entry) for entry in entries]
    facts = _facts(setup)
    found = ModelComparison(facts, results, claims(results), setup.yardstick, setup.samples)
    if folder is not None:
        summary = found.summary()
        write_whole(folder / COMPARISON, lambda path: path.write_text(summary.to_json(), encoding="utf-8"))
        page = comparison_page(summary, found.yardstick, found.samples)
        write_whole(folder / PAGE, lambda path: path.write_text(page, encoding="utf-8"))
    return found


def _reference(config: CompareConfig, problem: Problem, watch: Stopwatch) -> Ensemble:
    """Frames of replica exchange made for this comparison."""
    settings = ReferenceConfig(
        temperature=config.temperature,
        hottest=max(HOTTEST, 3.0 * config.temperature),
        picoseconds=config.reference_picoseconds,
        seed=config.seed,
    )
    note = f"replica exchange, {settings.ladders} ladders of {settings.picoseconds:g} ps"
    with watch.stage("reference", note):
        return reference_ensemble(problem.system, settings, watch.report).ensemble


def _setup(
    config: CompareConfig, problem: Problem, reference: Ensemble, shared: int, watch: Stopwatch
) -> ComparisonSetup:
    coordinates = problem.coordinates
    molecule = problem.molecule
    with watch.stage("reference frames", f"{len(reference)} in four parts"):
        parts = reference_parts(reference, coordinates, config.seed)
        torsions = conformer_torsions(molecule)
        early, late = (
            describe(coordinates, torsions, reference.positions[half], reference.reduced_energies[half])
            for half in parts.halves
        )
        yardstick = Yardstick(molecule, torsions, (early, late), config.seed)
    evaluations = int(
        reference.metadata.get("n_energy_evaluations", 0) * len(parts.training) / len(reference)
    )
    return ComparisonSetup(config, problem, reference, parts, yardstick, watch, shared, evaluations)


def _facts(setup: ComparisonSetup) -> ComparisonFacts:
    config, system, reference = setup.config, setup.problem.system, setup.reference
    settings = config.training_of_each(setup.problem.target.n_atoms)
    source = "replica exchange" if config.reference is None else str(config.reference)
    return ComparisonFacts(
        molecule=system.molecule.smiles,
        n_atoms=system.molecule.n_atoms,
        temperature_K=config.temperature,
        forcefield=system.forcefield,
        solvent=system.solvent,
        n_samples=config.n_samples,
        budget_seconds_per_model=settings.budget_seconds,
        max_steps_per_model=settings.max_steps,
        seed=config.seed,
        reference=ReferenceFacts(
            source=source,
            n_frames=len(reference),
            n_frames_to_learn_from=len(setup.parts.training),
            n_frames_to_judge_by=sum(len(half) for half in setup.parts.halves),
            divided=setup.parts.how,
            effective_sample_size=reference.effective_sample_size,
            converged=reference.metadata.get("converged"),
            n_energy_evaluations=reference.metadata.get("n_energy_evaluations"),
            wall_seconds=setup.watch.seconds.get("reference", 0.0),
        ),
        warnings=reference_warnings(reference, source),
        n_energy_evaluations_shared=setup.shared_evaluations,
        wall_seconds={**setup.watch.seconds, "total": setup.watch.elapsed},
        versions=package_versions(),
    )
