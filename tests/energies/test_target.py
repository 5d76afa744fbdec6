"""The Boltzmann target at temperatures other than room temperature, against OpenMM's energies and forces."""

import openmm
import pytest
import torch
from scipy import constants

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.molecule import Molecule


@pytest.fixture(scope="module")
def methanol():
    molecule = Molecule.from_smiles("CO")
    system = mmff_system(molecule)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    x = molecule.seed_conformers(1)[0]
    context.setPositions(x)
    state = context.getState(getEnergy=True, getForces=True)
    return system, x, state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value


@pytest.mark.parametrize("temperature", [150.0, 450.0])
def test_energies_and_gradients_are_divided_by_kT(methanol, temperature):
    system, x, energy, force = methanol
    kT = constants.R / 1000 * temperature
    target = BoltzmannTarget(compile_system(system), 300.0).at_temperature(temperature)
    batch = torch.as_tensor(x)[None].requires_grad_()
    u = target.reduced_energy(batch)
    (by_autograd,) = torch.autograd.grad(u.sum(), batch)
    again, gradient = target.reduced_energy_and_gradient(batch)
    assert u.item() == pytest.approx(energy / kT, rel=1e-8)
    assert again.item() == pytest.approx(energy / kT, rel=1e-8)
    expected = -torch.as_tensor(force)[None] / kT
    torch.testing.assert_close(by_autograd, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)
    torch.testing.assert_close(gradient, expected, atol=1e-6 * float(expected.abs().max()), rtol=0)
    assert target.evaluations == 2
