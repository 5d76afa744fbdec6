"""What a run would sample, before anybody pays for it: `boltzgen sample --dry-run`."""

from __future__ import annotations

import torch
from rdkit import Chem

from boltzgen.coordinates.description import Feature, coverage_warnings, describe
from boltzgen.models.model import Model
from boltzgen.molecules.molecule import Molecule
from boltzgen.problem import Problem
from boltzgen.progress import Stopwatch
from boltzgen.records.plan import Plan, PlannedFeature
from boltzgen.sampling.frames import FramesConfig
from boltzgen.systems import load_system
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import untrained_model
from boltzgen.workflows.config import SampleConfig, require_room, require_sane, whole_budget
from boltzgen.workflows.devices import select_device
from boltzgen.workflows.levels import level_budget, start_config, start_level
from boltzgen.workflows.preparation import (
    FRAMES_SHARE,
    SEED_CONFORMERS,
    prepare,
    seconds_of_frames,
)
from boltzgen.workflows.sampling import sample_with_known_density

SKETCH = FramesConfig(ladders=2, picoseconds=0.2, walkers=64, local_picoseconds=0.4)
SKETCH_SEEDS = 12
TRIAL_STEPS = 3
LEAST_TRAINING = 0.2  # of the budget, before a plateau is told
MOST_OVER_BUDGET = 1.2
BOND_MARKS = {
    Chem.BondType.DOUBLE: "=",
    Chem.BondType.TRIPLE: "#",
    Chem.BondType.AROMATIC: ":",
}


def plan(config: SampleConfig, watch: Stopwatch | None = None) -> Plan:
    """The run that ``config`` describes, from a few conformers and steps of dynamics that tell what it costs.

    Raises InputError for settings and molecules that the run would refuse as well.
    """
    require_sane(config)
    watch = watch or Stopwatch()
    start = start_level(config)
    own, cheap = None, config
    if start is not None:
        own = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
        config = level_budget(config)
        cheap = start_config(start, config)
    sketched = cheap.model_copy(update={"frames": SKETCH, "training": TrainingConfig(max_steps=TRIAL_STEPS)})
    with torch.random.fork_rng(devices=[]):
        generator = torch.Generator(select_device(config.device)).manual_seed(config.seed)
        problem = prepare(sketched, generator, watch, n_seeds=SKETCH_SEEDS)
        require_room(config.n_samples, problem.target.n_atoms)
        model = untrained_model(config.model, config.model_settings, problem)
        with watch.stage("costs"):
            low, high = _seconds(config, problem, model, generator, watch)
    molecule, coordinates = problem.molecule, problem.coordinates
    return Plan(
        molecule=molecule.smiles,
        n_atoms=molecule.n_atoms,
        degrees_of_freedom=coordinates.n_torsions + coordinates.n_stiff,
        forcefield=(own or problem.system).forcefield,
        solvent=(own or problem.system).solvent,
        n_soft_torsions=coordinates.n_torsions,
        symmetry_multiplicity=coordinates.multiplicity,
        features=[_planned(molecule, feature) for feature in describe(coordinates)],
        n_parameters=sum(p.numel() for p in model.parameters()),
        budget_seconds=whole_budget(config, molecule.n_atoms),
        least_seconds=low,
        most_seconds=high,
        warnings=coverage_warnings(molecule) + problem.symmetry.warnings(molecule),
    )


def _seconds(
    config: SampleConfig, problem: Problem, model: Model, generator: torch.Generator, watch: Stopwatch
) -> tuple[float, float]:
    """The least and the most wall seconds that the run may take.

    A run by time ends within a fifth of its budget, or earlier where training reaches a plateau. One of fixed
    steps takes what dynamics and training take, which some steps of either tell within a factor of two.
    """
    starts = problem.frames.thermal.tempered
    frames = seconds_of_frames(config.frames, problem.target, problem.masses, starts, generator)
    seeds = watch.seconds["seed conformers"] * SEED_CONFORMERS / SKETCH_SEEDS
    steps = config.training.max_steps
    if steps is None:
        budget = whole_budget(config, problem.target.n_atoms)
        least = min(seeds + min(frames, FRAMES_SHARE * budget) + LEAST_TRAINING * budget, budget)
        return least, MOST_OVER_BUDGET * budget + watch.seconds.get("start-up", 0.0)
    step = _training_step_seconds(config, problem, model, generator, watch)
    expected = watch.elapsed + seeds + frames + steps * step
    return 0.5 * expected, 2.0 * expected


def _training_step_seconds(
    config: SampleConfig, problem: Problem, model: Model, generator: torch.Generator, watch: Stopwatch
) -> float:
    """Wall seconds of a step of the reverse KL: samples and their energies with gradients."""
    began = watch.elapsed
    for step in range(TRIAL_STEPS + 1):
        if step == 1:
            began = watch.elapsed  # the first one compiles
        x, _ = sample_with_known_density(model, config.training.batch_size, generator)
        u = problem.target.reduced_energy(x).nan_to_num(0.0, 0.0, 0.0).sum()
        if u.requires_grad:
            u.backward()
            model.zero_grad()
    return (watch.elapsed - began) / TRIAL_STEPS


def _planned(molecule: Molecule, feature: Feature) -> PlannedFeature:
    if feature.kind in ("ring", "basins"):
        return PlannedFeature(
            kind=feature.kind, where=_ring_text(molecule, feature.atoms), count=feature.count
        )
    return PlannedFeature(kind=feature.kind, where=_chain_text(molecule, feature.atoms), count=feature.count)


def _chain_text(molecule: Molecule, atoms: tuple[int, ...]) -> str:
    """Atoms in a row with the bonds between them, like C1–C2=O3 (numbers count from 1)."""
    text = ""
    for k, atom in enumerate(atoms):
        if k:
            bond = molecule.rdmol.GetBondBetweenAtoms(atoms[k - 1], atom)
            text += "…" if bond is None else BOND_MARKS.get(bond.GetBondType(), "–")
        text += _atom_text(molecule, atom)
    return text


def _ring_text(molecule: Molecule, atoms: tuple[int, ...]) -> str:
    """The smallest ring that holds the first bond of ``atoms``, or the atoms themselves."""
    rings = molecule.rdmol.GetRingInfo().AtomRings()
    holding = [ring for ring in rings if set(atoms[:2]) <= set(ring)]
    members = min(holding, key=len) if holding else [a for a in atoms if _is_heavy(molecule, a)]
    return " ".join(_atom_text(molecule, atom) for atom in members)


def _is_heavy(molecule: Molecule, atom: int) -> bool:
    return int(molecule.atomic_numbers[atom]) > 1


def _atom_text(molecule: Molecule, atom: int) -> str:
    return f"{molecule.rdmol.GetAtomWithIdx(atom).GetSymbol()}{atom + 1}"
