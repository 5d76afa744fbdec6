"""Learned potentials: OpenMM-ML's own loading code on small potentials that are made here."""

import sys
import types

import numpy as np
import openmm
import pytest
import torch

import boltzgen
from boltzgen.calculators.learned import LearnedPotential
from boltzgen.errors import InputError
from boltzgen.systems import load_system

openmmml = pytest.importorskip("openmmml")

HARTREE, ELECTRONVOLT = 2625.4996394799, 96.48533212331  # kJ/mol


class Springs(torch.nn.Module):
    """A learned potential in small: every pair is held at a distance that depends on its elements."""

    def energy(self, numbers, x):
        """x: [n, atoms, 3] in Å; energies [n] in units of the potential."""
        first, second = torch.triu_indices(numbers.shape[-1], numbers.shape[-1], 1)
        wanted = 0.2 * (numbers[..., first] + numbers[..., second]).double().sqrt()
        return (0.01 * ((x[:, first] - x[:, second]).double().norm(dim=-1) - wanted) ** 2).sum(-1)


def torchani():
    """The part of TorchANI's interface that OpenMM-ML calls, with springs for its networks."""

    class Pair(tuple):
        energies = property(lambda self: self[1])

    class Model(Springs):
        def __init__(self, periodic_table_index):
            super().__init__()
            assert periodic_table_index
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, species_coordinates, cell=None, pbc=None):
            species, x = species_coordinates
            assert cell is None
            assert pbc is None
            return Pair((species, self.energy(species, x)))

    module = types.ModuleType("torchani")
    module.models = types.SimpleNamespace(ANI2x=Model, ANI1ccx=Model)
    module.units = types.SimpleNamespace(hartree2kjoulemol=lambda x: x * HARTREE)
    return module


def aimnet():
    """AIMNet2's calculator with springs, which also tells charge and multiplicity."""

    class Calculator(Springs):
        device = "cpu"

        def __init__(self, name):
            super().__init__()
            assert name == "aimnet2-wb97m-d3_0"

        def __call__(self, data, forces):
            assert forces
            x = data["coord"].double().requires_grad_()
            offset = data["charge"].double() + 10 * data["mult"].double()
            energy = self.energy(data["numbers"], x) + offset
            (gradient,) = torch.autograd.grad(energy.sum(), x)
            return {"energy": energy.detach(), "forces": -gradient}

    module = types.ModuleType("aimnet.calculators")
    module.AIMNet2Calculator = Calculator
    return module


@pytest.fixture
def small_potentials(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchani", torchani())
    monkeypatch.setitem(sys.modules, "aimnet", types.ModuleType("aimnet"))
    monkeypatch.setitem(sys.modules, "aimnet.calculators", aimnet())


def by_openmm_ml(name, molecule, positions, **options):
    """Energies and forces of OpenMM-ML's own system, conformation by conformation."""
    potential = openmmml.MLPotential(name)
    system = potential.createSystem(molecule.to_openmm_topology(), removeCMMotion=False, **options)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    energies, forces = [], []
    for frame in positions:
        context.setPositions(frame)
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy()._value)
        forces.append(state.getForces(asNumpy=True)._value)
    return np.array(energies), np.array(forces)


def conformers(molecule, n=5) -> np.ndarray:
    x = molecule.seed_conformers(1, seed=0)
    return x + 0.005 * np.random.default_rng(0).normal(size=(n, *x.shape[1:]))


@pytest.mark.parametrize(
    ("forcefield", "smiles", "options"),
    [("ani2x", "CO", {}), ("aimnet2", "CC(=O)[O-]", {"charge": -1, "multiplicity": 1})],
)
@pytest.mark.usefixtures("small_potentials")
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # OpenMM-ML's energy
def test_batches_are_what_openmm_ml_computes_one_by_one(forcefield, smiles, options):
    system = load_system(smiles, forcefield=forcefield)
    x = conformers(system.molecule)
    expected, forces = by_openmm_ml(forcefield, system.molecule, x, **options)
    if forcefield == "ani2x":
        forces *= 10.0  # OpenMM-ML 1.8 leaves them per ångström; the finite difference below decides
    target = boltzgen.BoltzmannTarget(boltzgen.compile_system(system.system), 300.0)
    u, gradient = target.reduced_energy_and_gradient(torch.as_tensor(x))
    np.testing.assert_allclose(u * target.kT, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient * target.kT, -forces, atol=1e-5 * np.abs(forces).max())
    step = np.random.default_rng(1).normal(size=x.shape) * 1e-3
    ends = [target.reduced_energy(torch.as_tensor(x + sign * step)) for sign in (1, -1)]
    slope = (gradient.numpy() * step).sum((1, 2))
    np.testing.assert_allclose((ends[0] - ends[1]) / 2, slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())


class PotentialFactory(openmmml.mlpotential.MLPotentialImplFactory):
    """A potential as somebody registers it with OpenMM-ML: springs in a PythonForce."""

    def createImpl(self, name, **options):
        class Implementation(openmmml.mlpotential.MLPotentialImpl):
            def addForces(self, topology, system, atoms, forceGroup, **options):
                numbers = torch.tensor([atom.element.atomic_number for atom in topology.atoms()])

                def compute(state):
                    x = torch.as_tensor(state.getPositions(asNumpy=True)._value * 10).requires_grad_()
                    energy = Springs().energy(numbers, x[None])[0] * ELECTRONVOLT
                    (gradient,) = torch.autograd.grad(energy, x)
                    return energy.item(), -10 * gradient.numpy()

                system.addForce(openmm.PythonForce(compute))

        return Implementation()


def test_any_registered_potential_is_a_force_field(monkeypatch):
    monkeypatch.setitem(openmmml.MLPotential._implFactories, "springs", PotentialFactory())
    system = load_system("CCO", forcefield="ml:springs")
    x = conformers(system.molecule)
    expected, forces = by_openmm_ml("springs", system.molecule, x)
    target = boltzgen.BoltzmannTarget(boltzgen.compile_system(system.system), 300.0)
    u, gradient = target.reduced_energy_and_gradient(torch.as_tensor(x))
    np.testing.assert_allclose(u * target.kT, expected, rtol=1e-10)
    np.testing.assert_allclose(gradient * target.kT, -forces, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("forcefield", "message"),
    [("ani2x", "torchani"), ("aimnet2", "aimnet"), ("mace", "mace"), ("ml:nothing", "knows no potential")],
)
def test_what_is_missing_is_one_sentence(forcefield, message, monkeypatch):
    for name in ("torchani", "aimnet", "mace", "mace.tools"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=message):
        load_system("CCO", forcefield=forcefield)


def test_an_ion_is_refused_by_a_potential_of_neutral_molecules():
    with pytest.raises(InputError, match="neutral"):
        LearnedPotential("ani2x", [6, 1, 1, 1], charge=1)
