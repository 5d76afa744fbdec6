"""What a run would sample, before anybody pays for it: `boltzgen sample --dry-run`."""

from __future__ import annotations

import torch
from rdkit import Chem

from boltzgen.coordinates.description import Feature, coverage_warnings, describe
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import Stopwatch
from boltzgen.records.plan import Plan, PlannedFeature
from boltzgen.training.families import untrained_model
from boltzgen.workflows.config import SampleConfig, require_sane, whole_budget
from boltzgen.workflows.preparation import prepare, select_device

BOND_MARKS = {
    Chem.BondType.DOUBLE: "=",
    Chem.BondType.TRIPLE: "#",
    Chem.BondType.AROMATIC: ":",
}


def plan(config: SampleConfig, watch: Stopwatch | None = None) -> Plan:
    """The run that ``config`` describes, prepared (seed conformers, short dynamics) but not trained."""
    require_sane(config)
    with torch.random.fork_rng(devices=[]):
        generator = torch.Generator(select_device(config.device)).manual_seed(config.seed)
        problem = prepare(config, generator, watch or Stopwatch())
        model = untrained_model(config.model, config.model_settings, problem)
    molecule, coordinates = problem.molecule, problem.coordinates
    return Plan(
        molecule=molecule.smiles,
        n_atoms=molecule.n_atoms,
        degrees_of_freedom=coordinates.n_torsions + coordinates.n_stiff,
        forcefield=problem.system.forcefield,
        solvent=problem.system.solvent,
        n_soft_torsions=coordinates.n_torsions,
        symmetry_multiplicity=coordinates.multiplicity,
        features=[_planned(molecule, feature) for feature in describe(coordinates)],
        n_parameters=sum(p.numel() for p in model.parameters()),
        budget_seconds=whole_budget(config, molecule.n_atoms),
        warnings=coverage_warnings(molecule) + problem.symmetry.warnings(molecule),
    )


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
