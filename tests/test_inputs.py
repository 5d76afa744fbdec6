"""Every kind of input that the documentation names, from the command line to the files and back."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm
import openmm.app
import pytest
from rdkit import Chem

import boltzgen
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import build_system
from tests.test_cli import run

SMALL = ["--set", "frames.ladders=2", "--set", "frames.picoseconds=0.1", "--set", "frames.walkers=32",
         "--set", "frames.local_picoseconds=0.1", "--steps", "4", "-n", "200", "--refine", "off"]  # fmt: skip


def write_mol(path: Path, smiles: str) -> Path:
    """A structure of ``smiles``, as .mol or .sdf by the name of the file."""
    molecule = Molecule.from_smiles(smiles)
    rdmol = Chem.Mol(molecule.rdmol)
    conformer = Chem.Conformer(molecule.n_atoms)
    conformer.SetPositions(10.0 * molecule.seed_conformers(1)[0])
    rdmol.AddConformer(conformer)
    block = Chem.MolToMolBlock(rdmol)
    path.write_text(block + ("$$$$\n" if path.suffix == ".sdf" else ""))
    return path


def write_pdb(path: Path, molecule: Molecule) -> Path:
    positions = molecule.seed_conformers(1)[0] * openmm.unit.nanometer
    with path.open("w") as file:
        openmm.app.PDBFile.writeFile(molecule.to_openmm_topology(), positions, file)
    return path


def write_system(path: Path, molecule: Molecule, forcefield: str) -> Path:
    path.write_text(openmm.XmlSerializer.serialize(build_system(molecule, forcefield).system))
    return path


def smiles(_: Path) -> list[str]:
    return ["C[C@H](F)O"]


def sdf(folder: Path) -> list[str]:
    return [str(write_mol(folder / "structure.sdf", "C[C@H](F)O"))]


def mol(folder: Path) -> list[str]:
    return [str(write_mol(folder / "structure.mol", "CC=O"))]


def sequence(_: Path) -> list[str]:
    return ["GLY-SER"]


def peptide_pdb(folder: Path) -> list[str]:
    return [str(write_pdb(folder / "peptide.pdb", Molecule.from_sequence("ACE-ASP-NME")))]


def named_system(_: Path) -> list[str]:
    return ["alanine-dipeptide-vacuum"]


def named_system_of_its_own(_: Path) -> list[str]:
    return ["bonded-toy-rotor"]


def system_with_sdf(folder: Path) -> list[str]:
    structure = write_mol(folder / "structure.sdf", "CCO")
    system = write_system(folder / "system.xml", Molecule.from_file(structure), "mmff94s")
    return [str(structure), "--forcefield", str(system)]


def system_with_mol(folder: Path) -> list[str]:
    structure = write_mol(folder / "structure.mol", "CCO")
    system = write_system(folder / "system.xml", Molecule.from_file(structure), "mmff94")
    return [str(structure), "--forcefield", str(system)]


def system_with_pdb(folder: Path) -> list[str]:
    molecule = Molecule.from_sequence("ACE-GLY-NME")
    system = write_system(folder / "system.xml", molecule, "amber96")
    return [str(write_pdb(folder / "peptide.pdb", molecule)), "--forcefield", str(system)]


def system_with_other_pdb(folder: Path) -> list[str]:
    molecule = Molecule.from_smiles("CCO")
    system = build_system(molecule, "mmff94").system
    charges = openmm.NonbondedForce()  # the total charge tells bond orders
    charges.setNonbondedMethod(openmm.NonbondedForce.NoCutoff)
    for _ in range(molecule.n_atoms):
        charges.addParticle(0.0, 0.1, 0.0)
    system.addForce(charges)
    path = folder / "system.xml"
    path.write_text(openmm.XmlSerializer.serialize(system))
    return [str(write_pdb(folder / "structure.pdb", molecule)), "--forcefield", str(path)]


KINDS: list[Callable[[Path], list[str]]] = [
    smiles, sdf, mol, sequence, peptide_pdb, named_system, named_system_of_its_own, system_with_sdf,
    system_with_mol, system_with_pdb, system_with_other_pdb,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_is_planned_sampled_and_evaluated(kind, tmp_path, capsys):
    given = kind(tmp_path)
    folder = tmp_path / "run"
    code, out, err = run(["sample", *given, *SMALL, "--json", "-o", str(folder)], capsys)
    assert code in (0, 3), err
    summary = json.loads(out)
    ensemble = boltzgen.Ensemble.load(folder)
    assert len(ensemble) == 200
    assert np.isfinite(ensemble.free_energy)
    assert {path.name for path in folder.iterdir()} >= {
        "summary.json", "ensemble.npz", "conformers.sdf", "trajectory.dcd", "topology.pdb",
        "model.safetensors", "config.toml", "report.html",
    }  # fmt: skip
    for record in Chem.SDMolSupplier(str(folder / "conformers.sdf"), removeHs=False):
        Chem.AssignStereochemistryFrom3D(record)
        assert Chem.MolToSmiles(Chem.RemoveHs(record)) == summary["molecule"]

    # The energies of the files, by the command line, are those of the run.
    code, out, err = run(["energy", *given, str(folder / "ensemble.npz"), "--json"], capsys)
    assert code == 0, err
    np.testing.assert_allclose(json.loads(out)["energy_kJ_mol"], ensemble.energies, rtol=1e-4, atol=0.05)
    code, out, err = run(["energy", *given, str(folder / "conformers.sdf"), "--json"], capsys)
    assert code == 0, err

    code, out, err = run(["sample", *given, "--dry-run", "--json"], capsys)
    assert code == 0, err
    planned = json.loads(out)
    for name in ("molecule", "n_atoms", "forcefield", "solvent"):
        assert planned[name] == summary[name]


@pytest.mark.parametrize("kind", [sdf, sequence, named_system_of_its_own, system_with_other_pdb])
def test_a_reference_takes_every_kind_of_input(kind, tmp_path, capsys):
    given = kind(tmp_path)
    short = ["--picoseconds", "0.5", "--ladders", "2"]
    code, out, err = run(["reference", *given, *short, "--json", "-o", str(tmp_path / "reference")], capsys)
    assert code in (0, 3), err
    reference = boltzgen.Ensemble.load(tmp_path / "reference")
    assert json.loads(out)["n_atoms"] == reference.molecule.n_atoms
    assert reference.molecule.keeps_stereo(reference.positions).all()
