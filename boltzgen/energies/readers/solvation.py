"""Implicit-solvent forces of OpenMM as many-body terms: GBSAOBCForce and CustomGBForce."""

from __future__ import annotations

import math

import openmm
import torch

from boltzgen.energies.readers.bonded import Globals, number
from boltzgen.energies.readers.custom import constants_of
from boltzgen.energies.readers.tabulated import read_tables
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.born_graphs import PAIR, PAIR_NO_EXCLUSIONS, SINGLE
from boltzgen.errors import InputError
from boltzgen.units import COULOMB_CONSTANT

# Onufriev, Bashford, Case, Proteins 55 (2004) 383, model II, in OpenMM's spelling; lengths in nm.
_INTEGRAL = (
    "select(step(r+sr2-or1), 0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r+C), 0);"
    "U=r+sr2; C=2*(1/or1-1/L)*step(sr2-r-or1); L=max(or1, D); D=abs(r-sr2);"
    "sr2=scale2*or2; or1=radius1-0.009; or2=radius2-0.009"
)
_BORN_RADIUS = "1/(1/or-tanh(psi-0.8*psi^2+4.85*psi^3)/radius); psi=I*or; or=radius-0.009"
_PAIR_ENERGY = "-factor*q1*q2*(1/f{shift}); f=sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))"
_SURFACE = "surface*(radius+0.14)^2*(radius/B)^6"
_SELF_ENERGY = "-0.5*factor*q^2/B"

_KINDS = {
    openmm.CustomGBForce.SingleParticle: SINGLE,
    openmm.CustomGBForce.ParticlePair: PAIR,
    openmm.CustomGBForce.ParticlePairNoExclusions: PAIR_NO_EXCLUSIONS,
}


def gbsa_obc(force: openmm.GBSAOBCForce, _: Globals) -> list[BornTerm]:
    """Read a GBSAOBCForce: generalized Born energy with the radii OBC2, and a surface area energy.

    The radii are model II of Onufriev, Bashford and Case, Proteins 55 (2004) 383.

    Parameters
    ----------
    force
        The OpenMM force.
    _
        Not used: the force has no global parameters.

    Returns
    -------
    list of BornTerm
        One term.

    Raises
    ------
    InputError
        For a periodic box, or a parameter that is not finite.
    """
    rows = _particles(force)
    cutoff = _cutoff(force)
    factor = COULOMB_CONSTANT * (1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric())
    # 4π times the surface tension in kJ/mol/nm²
    surface = 4 * torch.pi * number(force.getSurfaceAreaEnergy())
    shift = "" if cutoff is None else f"-{1 / cutoff!r}"
    return [
        BornTerm(
            force.getName(),
            ["q", "radius", "scale"],
            torch.tensor(rows, dtype=torch.float64),
            [("I", _INTEGRAL, PAIR_NO_EXCLUSIONS), ("B", _BORN_RADIUS, SINGLE)],
            [
                (_SURFACE, SINGLE),
                (_SELF_ENERGY, SINGLE),
                (_PAIR_ENERGY.format(shift=shift), PAIR_NO_EXCLUSIONS),
            ],
            cutoff=cutoff,
            constants={"factor": factor, "surface": surface},
        )
    ]


def custom_gb(force: openmm.CustomGBForce, given: Globals) -> list[BornTerm]:
    """Read a CustomGBForce in its own expressions: HCT, OBC1, GBn, GBn2 and whatever is written in them.

    Parameters
    ----------
    force
        The OpenMM force.
    given
        Values of global parameters by name, in OpenMM's units, instead of the force's defaults.

    Returns
    -------
    list of BornTerm
        One term.

    Raises
    ------
    InputError
        For a periodic box, a parameter that is not finite, or an unknown kind of tabulated function.
    """
    n = force.getNumPerParticleParameters()
    rows = _particles(force)
    values = [force.getComputedValueParameters(i) for i in range(force.getNumComputedValues())]
    energies = [force.getEnergyTermParameters(i) for i in range(force.getNumEnergyTerms())]
    return [
        BornTerm(
            force.getName(),
            [force.getPerParticleParameterName(i) for i in range(n)],
            torch.tensor(rows, dtype=torch.float64).reshape(len(rows), n),
            [(name, expression, _KINDS[kind]) for name, expression, kind in values],
            [(expression, _KINDS[kind]) for expression, kind in energies],
            [tuple(force.getExclusionParticles(i)) for i in range(force.getNumExclusions())],
            _cutoff(force),
            constants_of(force, given),
            read_tables(force),
        )
    ]


def _particles(force: openmm.GBSAOBCForce | openmm.CustomGBForce) -> list[list[float]]:
    rows = [[number(v) for v in force.getParticleParameters(i)] for i in range(force.getNumParticles())]
    for i, row in enumerate(rows):
        if not all(math.isfinite(value) for value in row):
            raise InputError(f"{force.getName()}: atom {i} has the parameters {row}; give numbers")
    return rows


def _cutoff(force: openmm.GBSAOBCForce | openmm.CustomGBForce) -> float | None:
    method = force.getNonbondedMethod()
    if method == force.NoCutoff:
        return None
    if method == force.CutoffNonPeriodic:
        return number(force.getCutoffDistance())
    raise InputError(f"{force.getName()} uses a periodic box; only molecules without one can be sampled")
