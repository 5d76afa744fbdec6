"""Each written file is opened by a reader that shares no code with its writer."""

import warnings
from pathlib import Path

import mdtraj
import numpy as np
import openmm.app
import pytest
import torch
from rdkit import Chem

import boltzgen
from boltzgen.distinct_conformers import as_mol
from boltzgen.errors import InputError
from boltzgen.molecules.conformer_texts import conformer_text
from boltzgen.systems import load_system
from tests.forcefields.openmm_reference import energies
from tests.test_cli import run

MOLECULE = "OCC(=O)CF"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of an ensemble of embedded conformers, as a run of this molecule would leave it."""
    folder = tmp_path_factory.mktemp("run") / "run"
    system = load_system(MOLECULE)
    x = torch.as_tensor(system.molecule.seed_conformers(200, minimise=False))
    u = boltzgen.BoltzmannTarget(boltzgen.compile_system(system.system), 300).reduced_energy(x)
    boltzgen.Ensemble.from_frames(system.molecule, x, u, 300.0, 200.0, {"converged": True}).save(folder)
    (folder / "config.toml").write_text(f'molecule = "{MOLECULE}"\n')
    return folder


@pytest.fixture(scope="module")
def ensemble(folder):
    return boltzgen.Ensemble.load(folder)


def records(path: Path) -> list[Chem.Mol]:
    return list(Chem.SDMolSupplier(str(path), removeHs=False))


def test_conformers_of_a_run_are_distinct_and_have_their_populations(folder, ensemble):
    written = records(folder / "conformers.sdf")
    labels = [mol.GetProp("conformer") for mol in written]
    assert len(set(labels)) == len(written) > 1
    populations = [mol.GetDoubleProp("population") for mol in written]
    assert populations == sorted(populations, reverse=True)
    assert sum(float(mol.GetProp("weight")) for mol in written) == pytest.approx(1.0, abs=1e-4)
    # The energy that is written is that of the positions, by OpenMM.
    x = 0.1 * np.array([mol.GetConformer().GetPositions() for mol in written])
    theirs = energies(load_system(MOLECULE).system, x)
    assert [mol.GetDoubleProp("energy_kJ_mol") for mol in written] == pytest.approx(theirs, rel=1e-3)


def test_records_of_several_conformers_are_written_without_a_word(ensemble, capfd):
    """RDKit writes its warnings to standard error, which a person sees at the end of each run."""
    conformers = as_mol(ensemble.molecule, ensemble.distinct_conformers())
    capfd.readouterr()
    text = conformer_text(ensemble.molecule, conformers, "sdf")
    assert text.count("$$$$") == conformers.GetNumConformers() > 1
    assert text.count("<population>") == conformers.GetNumConformers()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("minimise", [False, True])
def test_formats_hold_the_same_conformers(folder, ensemble, tmp_path, capsys, minimise):
    ase_io = pytest.importorskip("ase.io")
    given = ["--format", "sdf,xyz,pdb", "-o", str(tmp_path), *(["--minimise"] if minimise else [])]
    code, out, err = run(["conformers", str(folder), *given], capsys)
    assert code == 0, err
    assert "conformers.xyz" in out
    written = records(tmp_path / "conformers.sdf")
    x = np.array([mol.GetConformer().GetPositions() for mol in written])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = ase_io.read(tmp_path / "conformers.xyz", index=":", format="extxyz")
    np.testing.assert_allclose([frame.positions for frame in frames], x, atol=2e-4)
    assert frames[0].get_chemical_symbols() == [atom.GetSymbol() for atom in written[0].GetAtoms()]
    found = {**frames[0].info, **({} if frames[0].calc is None else frames[0].calc.results)}
    assert float(found["population"]) == pytest.approx(written[0].GetDoubleProp("population"))
    pdb = openmm.app.PDBFile(str(tmp_path / "conformers.pdb"))
    assert pdb.getNumFrames() == len(written)
    np.testing.assert_allclose(
        pdb.getPositions(asNumpy=True, frame=len(written) - 1)._value * 10, x[-1], atol=2e-3
    )
    if minimise:
        system = load_system(MOLECULE).system
        for mol, one in zip(written, x, strict=True):
            context = openmm.Context(system, openmm.VerletIntegrator(0.001))
            context.setPositions(0.1 * one)
            state = context.getState(getForces=True, getEnergy=True)
            assert (
                np.abs(state.getForces(asNumpy=True)._value).max() < 20.0
            )  # of thousands; written in 1e-4 Å
            assert state.getPotentialEnergy()._value == pytest.approx(
                mol.GetDoubleProp("energy_kJ_mol"), abs=0.05
            )


def test_trajectory_and_topology_are_read_by_mdtraj_and_openmm(folder, ensemble):
    trajectory = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
    assert trajectory.n_frames == len(ensemble)
    pdb = openmm.app.PDBFile(str(folder / "topology.pdb"))
    assert [
        a.element.atomic_number for a in pdb.topology.atoms()
    ] == ensemble.molecule.atomic_numbers.tolist()
    assert pdb.topology.getNumBonds() == len(ensemble.molecule.bonds)


def test_arrays_are_read_by_numpy_alone(folder, ensemble):
    with np.load(folder / "ensemble.npz", allow_pickle=False) as stored:
        log_weights = stored["log_weights"]
        weights = np.exp(log_weights - log_weights.max())
        ess = weights.sum() ** 2 / (weights**2).sum()
        assert stored["positions"].dtype == np.float32
    assert ess == pytest.approx(200.0)


def test_what_cannot_be_written_is_told(folder, tmp_path):
    from boltzgen.workflows.conformers import write_conformers

    with pytest.raises(InputError, match="as 'mol2'"):
        write_conformers(folder, tmp_path, ("mol2",))
    with pytest.raises(InputError, match="is there already"):
        write_conformers(folder, folder)
    with pytest.raises(InputError, match="No conformer has a population"):
        write_conformers(folder, tmp_path, least_population=1.5)
    assert not list(tmp_path.iterdir())
