"""Tight binding as an energy and as an openmm.System: tblite's own numbers, and finite differences."""

import multiprocessing

import numpy as np
import openmm
import pytest
import torch
from openmm import unit

import boltzgen
from boltzgen.calculators import tight_binding
from boltzgen.energies.calculated import CalculatorTerm
from boltzgen.errors import InputError
from boltzgen.systems import MolecularSystem, build_system, load_system

tblite = pytest.importorskip("tblite.interface")

HARTREE_KJ_MOL = unit.AVOGADRO_CONSTANT_NA.value_in_unit(unit.mole**-1) * 4.3597447222071e-18 / 1e3
BOHR_NM = 0.0529177210903

# SMILES and charge
MOLECULES = {"CCO": 0, "CC(=O)[O-]": -1, "C[NH3+]": 1, "ClC#N": 0}


def by_tblite(numbers, x, charge=0, unpaired=0, method="GFN2-xTB"):
    """kJ/mol and kJ/mol/nm of positions x [atoms, 3] in nm."""
    calculator = tblite.Calculator(method, np.array(numbers), x / BOHR_NM, charge=charge, uhf=unpaired)
    calculator.set("verbosity", 0)
    calculator.set("accuracy", 1e-4)
    found = calculator.singlepoint()
    return found.get("energy") * HARTREE_KJ_MOL, found.get("gradient") * HARTREE_KJ_MOL / BOHR_NM


@pytest.mark.parametrize(("smiles", "charge"), MOLECULES.items(), ids=MOLECULES.keys())
def test_energy_and_gradient_are_those_of_tblite_with_the_charge_of_the_formula(smiles, charge):
    system = load_system(smiles, forcefield="gfn2")
    x = system.molecule.seed_conformers(1, seed=0)[0]
    expected, slope = by_tblite(system.molecule.atomic_numbers, x, charge)
    energy, gradient = boltzgen.compile_system(system.system).energy_and_gradient(batch_last(x[None]))
    assert float(energy[0]) == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(gradient[..., 0].T.numpy(), slope, atol=1e-5 * np.abs(slope).max())


@pytest.mark.parametrize("method", ["GFN1-xTB", "GFN2-xTB"])
def test_unpaired_electrons_are_those_asked_for(method):
    methyl = np.array([[0, 0, 0], [0, 0.107, 0], [0.0927, -0.0535, 0], [-0.0927, -0.0535, 0.01]])
    numbers = [6, 1, 1, 1]
    expected, slope = by_tblite(numbers, methyl, unpaired=1, method=method)
    calculator = tight_binding.TightBinding(method, numbers, unpaired=1)
    energy, gradient = calculator.energies_and_gradients(methyl[None])
    assert energy[0] == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(gradient[0], slope, atol=1e-5 * np.abs(slope).max())


def batch_last(x: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(x).double().permute(2, 1, 0).contiguous()


@pytest.fixture(scope="module")
def methanethiol() -> MolecularSystem:
    return load_system("CS", forcefield="gfn2")


@pytest.fixture(scope="module")
def conformers(methanethiol) -> np.ndarray:
    x = methanethiol.molecule.seed_conformers(1, seed=0)
    return x + 0.005 * np.random.default_rng(0).normal(size=(5, *x.shape[1:]))


def test_openmm_has_the_same_energy_and_forces(methanethiol, conformers):
    integrator = openmm.VerletIntegrator(0.001)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(methanethiol.system, integrator, platform)
    energy, gradient = boltzgen.compile_system(methanethiol.system).energy_and_gradient(
        batch_last(conformers)
    )
    for k, frame in enumerate(conformers):
        context.setPositions(frame)
        state = context.getState(energy=True, forces=True)
        assert state.getPotentialEnergy()._value == pytest.approx(float(energy[k]), rel=1e-8)
        forces = state.getForces(asNumpy=True)._value
        np.testing.assert_allclose(-forces, gradient[..., k].T.numpy(), atol=1e-4)


def test_gradient_is_that_of_finite_differences(methanethiol, conformers):
    target = boltzgen.BoltzmannTarget(boltzgen.compile_system(methanethiol.system), 300.0)
    x = torch.as_tensor(conformers[:1])
    _, gradient = target.reduced_energy_and_gradient(x)
    direction = torch.as_tensor(np.random.default_rng(1).normal(size=x.shape))
    step = 1e-5
    ends = target.reduced_energy(torch.cat([x + step * direction, x - step * direction]))
    assert float(ends[0] - ends[1]) / (2 * step) == pytest.approx(
        float((gradient * direction).sum()), rel=1e-5
    )


def test_clash_has_infinite_energy_and_leaves_the_others_alone(methanethiol, conformers):
    energy = boltzgen.compile_system(methanethiol.system)
    x = conformers.copy()
    x[1, 1] = x[1, 0]
    x[3, 0, 0] = np.nan
    found, gradient = energy.energy_and_gradient(batch_last(x))
    assert torch.isinf(found).tolist() == [False, True, False, True, False]
    assert bool(torch.isfinite(gradient).all())
    torch.testing.assert_close(found[::2], energy(batch_last(conformers))[::2])


def test_system_survives_openmm_xml_text_and_a_file(methanethiol, conformers, tmp_path):
    x = batch_last(conformers)
    expected = boltzgen.compile_system(methanethiol.system)(x)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(methanethiol.system))
    torch.testing.assert_close(boltzgen.compile_system(again)(x), expected)
    text = methanethiol.to_text()
    assert text["system"] == ""
    torch.testing.assert_close(boltzgen.compile_system(MolecularSystem.from_text(text).system)(x), expected)
    boltzgen.compile_system(methanethiol.system).save(tmp_path / "energy.pt")
    torch.testing.assert_close(boltzgen.energies.Energy.load(tmp_path / "energy.pt")(x), expected)


def test_energy_is_sent_to_a_spawned_process(methanethiol, conformers):
    energy = boltzgen.compile_system(methanethiol.system)
    x = batch_last(conformers[:1])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        torch.testing.assert_close(pool.apply(energy, (x,)), energy(x))


def test_a_file_that_names_another_calculator_is_refused():
    term = CalculatorTerm("energy", '{"kind": "os.system", "command": "true"}')
    with pytest.raises(InputError, match=r"os\.system"):
        term.energy_and_gradient(torch.zeros(3, 6, 1))


def test_water_lowers_the_energy_of_an_ion_by_its_solvation():
    molecule = boltzgen.Molecule.from_smiles("[Cl-]")
    x = torch.zeros(3, 1, 1).double()
    vacuum, water = (
        boltzgen.compile_system(build_system(molecule, "gfn2", solvent).system)(x)
        for solvent in ("vacuum", "water")
    )
    assert float(water - vacuum) / 4.184 == pytest.approx(-74.5, abs=10.0)  # kcal/mol, measured


def test_missing_tblite_is_one_sentence(monkeypatch):
    monkeypatch.setattr(tight_binding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"\[xtb\]"):
        load_system("CCO", forcefield="gfn2")


def test_elements_without_parameters_are_refused():
    with pytest.raises(InputError, match="86"):
        tight_binding.TightBinding("GFN2-xTB", [95]).load()
