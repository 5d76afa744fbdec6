"""Energies straight from OpenMM, for every test of the force fields."""

import numpy as np
import openmm


def energies(system, positions):
    """kJ/mol [n] of positions [n, atoms, 3] nm on OpenMM's Reference platform."""
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    found = []
    for x in positions:
        context.setPositions(x)
        found.append(context.getState(getEnergy=True).getPotentialEnergy()._value)
    return np.array(found)


def terms(system, x):
    """kJ/mol of each force of ``system`` at positions [atoms, 3] nm, by the force's name."""
    copy = openmm.XmlSerializer.clone(system)
    for group, force in enumerate(copy.getForces()):
        force.setForceGroup(group)
    context = openmm.Context(
        copy, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(x)
    return {
        force.getName(): context.getState(getEnergy=True, groups={group}).getPotentialEnergy()._value
        for group, force in enumerate(copy.getForces())
    }
