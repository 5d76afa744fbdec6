"""Implicit solvents: generalised Born with OpenMM's standard radii and the force field's own charges.

OBC1 and OBC2: Onufriev, Bashford & Case, Proteins 55 (2004) 383–394, mbondi2 radii. GBn2: Nguyen, Roe &
Simmerling, JCTC 9 (2013) 2020–2034, mbondi3 radii. Each with the ACE surface term (Schaefer & Karplus),
solute dielectric 1, solvent dielectric 78.5: OpenMM's defaults. ``water`` stands for OBC2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openmm
from openmm.app import Topology
from openmm.app.internal.customgbforces import GBSAGBn2Force, GBSAOBC1Force, GBSAOBC2Force

from boltzgen.errors import InputError

SOLVENTS = ("vacuum", "obc1", "obc2", "gbn2", "water")
SOLUTE_DIELECTRIC = 1.0
SOLVENT_DIELECTRIC = 78.5


def add_solvent(system: openmm.System, topology: Topology, charges: np.ndarray, solvent: str) -> None:
    """Adds the force of ``solvent`` for ``charges`` [atoms] (e) to ``system``; vacuum adds none."""
    if solvent == "vacuum":
        return
    if solvent in ("obc2", "water"):
        force = _obc2(topology, charges)
    elif solvent == "obc1":
        force = _custom(GBSAOBC1Force, topology, charges)
    elif solvent == "gbn2":
        force = _custom(GBSAGBn2Force, topology, charges)
    else:
        raise InputError(f"Unknown solvent '{solvent}': give one of {', '.join(SOLVENTS)}.")
    force.setName("implicit solvent")
    system.addForce(force)


def _obc2(topology: Topology, charges: np.ndarray) -> openmm.GBSAOBCForce:
    force = openmm.GBSAOBCForce()
    force.setNonbondedMethod(openmm.GBSAOBCForce.NoCutoff)
    force.setSoluteDielectric(SOLUTE_DIELECTRIC)
    force.setSolventDielectric(SOLVENT_DIELECTRIC)
    for charge, (radius, screen) in zip(charges, GBSAOBC2Force.getStandardParameters(topology), strict=True):
        force.addParticle(float(charge), float(radius), float(screen))
    return force


def _custom(model: Any, topology: Topology, charges: np.ndarray) -> openmm.CustomGBForce:
    force = model(solventDielectric=SOLVENT_DIELECTRIC, soluteDielectric=SOLUTE_DIELECTRIC, SA="ACE")
    for charge, parameters in zip(charges, model.getStandardParameters(topology), strict=True):
        force.addParticle([float(charge), *(float(value) for value in parameters)])
    force.finalize()
    force.setNonbondedMethod(openmm.CustomGBForce.NoCutoff)
    return force
