"""OpenMM's Reference platform (float64), one force and one configuration at a time."""

import numpy as np
import openmm
import torch
from openmm import unit

KJ, NM = unit.kilojoule_per_mole, unit.nanometer


def openmm_energy_and_gradient(system: openmm.System, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies [n] in kJ/mol and gradients [n, atoms, 3] in kJ/mol/nm of positions [n, atoms, 3]."""
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    energies, gradients = [], []
    for frame in positions:
        context.setPositions(frame)
        state = context.getState(getEnergy=True, getForces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(KJ))
        gradients.append(-state.getForces(asNumpy=True).value_in_unit(KJ / NM))
    return np.array(energies), np.array(gradients)


def single_force_systems(system: openmm.System) -> list[openmm.System]:
    """One system for each force, so that a failure names it."""
    copies = []
    for force in system.getForces():
        if isinstance(force, openmm.CMMotionRemover):
            continue
        copy = openmm.System()
        for i in range(system.getNumParticles()):
            copy.addParticle(system.getParticleMass(i))
        copy.addForce(openmm.XmlSerializer.clone(force))
        copies.append(copy)
    return copies


def interpolates(force: openmm.Force) -> bool:
    """Whether the force has tables, whose splines OpenMM and this package solve in different ways."""
    tabulated = hasattr(force, "getNumTabulatedFunctions") and force.getNumTabulatedFunctions() > 0
    return tabulated or isinstance(force, openmm.CMAPTorsionForce)


def batch_last(positions: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(positions, dtype=dtype).permute(2, 1, 0).contiguous()


def assert_equal_to_openmm(
    energy, system: openmm.System, positions: np.ndarray, relative: float = 1e-9
) -> None:
    """Energy and every gradient component, relative to the configuration's own scale."""
    reference, slope = openmm_energy_and_gradient(system, positions)
    value, gradient = energy.energy_and_gradient(batch_last(positions))
    gradient = gradient.permute(2, 1, 0).numpy()
    largest = np.abs(slope).max(axis=(1, 2), keepdims=True)
    np.testing.assert_array_less(np.abs(value.numpy() - reference), relative * (np.abs(reference) + 1.0))
    np.testing.assert_array_less(np.abs(gradient - slope), relative * (largest + 1.0) * np.ones_like(slope))
