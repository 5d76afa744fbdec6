"""Replica exchange of butane beside OpenMM's own sampler, Reference platform and force objects."""

import math

import numpy as np
import openmm
import openmm.app
import openmm.unit as unit
import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.sampling.dynamics import Langevin
from boltzgen.sampling.tempering import ReplicaExchange, ladder_estimate, temperature_ladder
from boltzgen.systems import load_system
from boltzgen.units import thermal_energy

HYDROGEN_MASS = 4.0
N_BLOCKS = 20


def observables(molecule, positions, energies):
    """Potential energy in kT, share of gauche+ and of gauche−: [n, 3]."""
    torsion = torsion_values(positions, conformer_torsions(molecule))[:, 0]
    plus, minus = (torsion > 0) & (torsion < 2.1), (torsion < 0) & (torsion > -2.1)
    return np.stack([energies, plus, minus], axis=1).astype(float)


def openmm_frames(system, molecule, temperatures, n_iterations, n_discarded):
    for index in range(system.getNumParticles()):
        mass = system.getParticleMass(index).value_in_unit(unit.dalton)
        system.setParticleMass(index, max(mass, HYDROGEN_MASS))
    integrator = openmm.LangevinMiddleIntegrator(300.0, 5.0, 0.002)
    integrator.setRandomNumberSeed(1)
    platform = openmm.Platform.getPlatform("Reference")
    simulation = openmm.app.Simulation(molecule.to_openmm_topology(), system, integrator, platform)
    simulation.context.setPositions(molecule.seed_conformers(1)[0])
    states = [{"temperature": float(temperature) * unit.kelvin} for temperature in temperatures]
    sampler = openmm.app.ReplicaExchangeSampler(states, simulation, 100)
    positions, energies = [], []
    for iteration in range(n_iterations + n_discarded):
        sampler.simulate(1)
        if iteration >= n_discarded:
            cold = sampler.replicaStateIndex.index(0)
            positions.append(sampler.replicaConformation[cold].getPositions(asNumpy=True)._value)
            energies.append(sampler.replicaStateEnergy[cold][0].value_in_unit(unit.kilojoules_per_mole))
    return np.array(positions), np.array(energies) / thermal_energy(300.0)


@pytest.mark.slow
def test_butane_agrees_with_openmms_replica_exchange():
    molecular = load_system("CCCC", "mmff94", "vacuum")
    molecule = molecular.molecule
    temperatures = temperature_ladder(300.0, 900.0, molecule.n_atoms)
    target = BoltzmannTarget(compile_system(molecular.system), 300.0)
    generator = torch.Generator().manual_seed(1)
    kernel = Langevin(target, torch.as_tensor(molecule.masses).float().clamp_min(HYDROGEN_MASS), 0.002, 5.0)
    method = ReplicaExchange(kernel, temperatures, n_ladders=16)
    state = method.init(torch.as_tensor(molecule.seed_conformers(8)).float(), generator)
    state, _ = method.run(state, 100, generator)
    _, trajectory = method.run(state, 500, generator)
    n_frames = len(trajectory.positions)
    flat = trajectory.positions.flatten(0, 1).numpy()
    ours = observables(molecule, flat, trajectory.energies[:, :, 0].flatten().numpy() / thermal_energy(300.0))
    estimates = [ladder_estimate(torch.from_numpy(ours[:, i]).view(n_frames, 16)) for i in range(3)]
    theirs = observables(molecule, *openmm_frames(molecular.system, molecule, temperatures, 1000, 100))
    blocks = theirs.reshape(N_BLOCKS, -1, 3).mean(axis=1)
    for i, estimate in enumerate(estimates):
        error = blocks[:, i].std(ddof=1) / math.sqrt(N_BLOCKS)
        assert abs(estimate.mean.value - blocks[:, i].mean()) < 4 * math.hypot(error, estimate.mean.stderr)
        assert abs(estimate.drift) < 4
    assert abs(estimates[1].mean.value - estimates[2].mean.value) < 4 * estimates[1].mean.stderr * math.sqrt(
        2
    )
