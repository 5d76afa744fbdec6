"""A hand-built force of every kind, over the same few particles, for comparison with OpenMM."""

from itertools import pairwise

import numpy as np
import openmm
from openmm import app
from openmm.app.internal import customgbforces as internal

N_ATOMS = 9
RNG = np.random.default_rng()


def particles(seed: int = 3) -> openmm.System:
    """Atoms without forces; the forces added next draw their parameters from ``seed``."""
    RNG.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    system = openmm.System()
    for _ in range(N_ATOMS):
        system.addParticle(12.0)
    return system


def clusters(size: int, count: int = 6) -> list[list[int]]:
    return [[int(i) for i in RNG.permutation(N_ATOMS)[:size]] for _ in range(count)]


def uniform(low: float, high: float) -> float:
    return float(RNG.uniform(low, high))


def harmonic_bond():
    force = openmm.HarmonicBondForce()
    for i, j in clusters(2):
        force.addBond(i, j, uniform(0.1, 0.2), uniform(1e3, 3e3))
    return force


def harmonic_angle():
    force = openmm.HarmonicAngleForce()
    for i, j, k in clusters(3):
        force.addAngle(i, j, k, uniform(1.5, 2.5), uniform(100, 400))
    return force


def periodic_torsion():
    force = openmm.PeriodicTorsionForce()
    for n, atoms in enumerate(clusters(4)):
        force.addTorsion(*atoms, n + 1, uniform(-3, 3), uniform(1, 9))
    return force


def ryckaert_bellemans():
    force = openmm.RBTorsionForce()
    for atoms in clusters(4):
        force.addTorsion(*atoms, *RNG.normal(size=6))
    return force


def cmap():
    force = openmm.CMAPTorsionForce()
    for size in (6, 9):
        force.addMap(size, list(RNG.normal(size=size * size)))
    for n, atoms in enumerate(clusters(8)):
        force.addTorsion(n % 2, *atoms)
    return force


def nonbonded(method=openmm.NonbondedForce.NoCutoff, switch=False):
    force = openmm.NonbondedForce()
    for _ in range(N_ATOMS):
        force.addParticle(uniform(-0.5, 0.5), uniform(0.2, 0.3), uniform(0.1, 1.0))
    force.addException(0, 1, 0.0, 1.0, 0.0)
    force.addException(3, 1, 0.1, 0.25, 0.4)
    force.addGlobalParameter("scale", 0.7)
    force.addParticleParameterOffset("scale", 2, 0.3, 0.02, 0.1)
    force.addExceptionParameterOffset("scale", 1, 0.2, 0.01, 0.3)
    force.setNonbondedMethod(method)
    force.setCutoffDistance(0.6)
    force.setUseSwitchingFunction(switch)
    force.setSwitchingDistance(0.4)
    force.setReactionFieldDielectric(55.0)
    return force


def nonbonded_cutoff():
    return nonbonded(openmm.NonbondedForce.CutoffNonPeriodic)


def nonbonded_switched():
    return nonbonded(openmm.NonbondedForce.CutoffNonPeriodic, switch=True)


def custom_bond():
    force = openmm.CustomBondForce("strength*(exp(-b*(r-r0)) - 1)^2 + c/(r+0.1); c = b^2/strength")
    force.addGlobalParameter("strength", 3.0)
    force.addPerBondParameter("b")
    force.addPerBondParameter("r0")
    for i, j in clusters(2):
        force.addBond(i, j, [uniform(1, 3), uniform(0.1, 0.2)])
    return force


def custom_angle():
    force = openmm.CustomAngleForce("k*(theta-t0)^2 + k*cos(2*theta)")
    force.addPerAngleParameter("k")
    force.addPerAngleParameter("t0")
    for i, j, k in clusters(3):
        force.addAngle(i, j, k, [uniform(1, 9), uniform(1, 2)])
    return force


def custom_torsion():
    force = openmm.CustomTorsionForce("k*min(dt, 6.28-dt)^2 + sin(theta); dt = abs(theta-t0)")
    force.addPerTorsionParameter("k")
    force.addPerTorsionParameter("t0")
    for atoms in clusters(4):
        force.addTorsion(*atoms, [uniform(1, 9), uniform(-3, 3)])
    return force


def custom_compound_bond():
    force = openmm.CustomCompoundBondForce(
        5,
        "k*(distance(p1,p5)-0.2)^2*cos(angle(p2,p3,p4)) + sin(dihedral(p1,p2,p3,p5)) + x1*y2^3 - z5"
        "+ pointdistance(x1,y1,z1,x3,y3,0.5) + pointangle(x1,y1,z1,x2,y2,z2,0,0,1)"
        "+ pointdihedral(x1,y1,z1,x2,y2,z2,x3,y3,z3,1,2,3)",
    )
    force.addPerBondParameter("k")
    for atoms in clusters(5):
        force.addBond(atoms, [uniform(1, 9)])
    return force


def tabulated_compound_bond():
    force = openmm.CustomCompoundBondForce(
        3,
        "one(distance(p1,p2)) + wave(distance(p2,p3)) + two(distance(p1,p2),x3) + three(x1,y1,z1)"
        "+ k*pick(kind)*x1 + pick2(kind,1)*y1 + pick3(1,kind,0)*z3",
    )
    force.addPerBondParameter("k")
    force.addPerBondParameter("kind")
    wave = np.sin(np.linspace(0, 2 * np.pi, 12))
    wave[-1] = wave[0]
    force.addTabulatedFunction("one", openmm.Continuous1DFunction(list(RNG.normal(size=8)), 0.05, 0.6))
    force.addTabulatedFunction("wave", openmm.Continuous1DFunction(list(wave), 0.0, 0.25, True))
    two, three = RNG.normal(size=5 * 7), RNG.normal(size=4 * 5 * 6)
    force.addTabulatedFunction("two", openmm.Continuous2DFunction(5, 7, list(two), 0.0, 0.7, -0.6, 0.5))
    force.addTabulatedFunction(
        "three", openmm.Continuous3DFunction(4, 5, 6, list(three), -0.5, 0.4, -0.3, 0.6, -0.6, 0.6)
    )
    force.addTabulatedFunction("pick", openmm.Discrete1DFunction([1.0, -2.0, 3.0]))
    force.addTabulatedFunction("pick2", openmm.Discrete2DFunction(3, 2, [1.0, 2, 3, 4, 5, 6]))
    force.addTabulatedFunction("pick3", openmm.Discrete3DFunction(2, 3, 2, [float(i) for i in range(12)]))
    for n, atoms in enumerate(clusters(3)):
        force.addBond(atoms, [uniform(1, 9), n % 3])
    return force


def custom_external():
    force = openmm.CustomExternalForce("k*((x-1)^2 + y^4) + tanh(z)")
    force.addPerParticleParameter("k")
    for i in (0, 4, 5):
        force.addParticle(i, [uniform(1, 9)])
    return force


def custom_nonbonded(cutoff=False, groups=False):
    force = openmm.CustomNonbondedForce("a*b1*b2*size*exp(-r/0.2) + table(r); size = big1+big2")
    force.addGlobalParameter("a", 2.0)
    force.addPerParticleParameter("b")
    force.addComputedValue("big", "b^2 + a")
    force.addTabulatedFunction("table", openmm.Continuous1DFunction(list(RNG.normal(size=9)), 0.0, 1.5))
    for _ in range(N_ATOMS):
        force.addParticle([uniform(0.5, 2.0)])
    force.addExclusion(0, 1)
    force.addExclusion(5, 2)
    if cutoff:
        force.setNonbondedMethod(openmm.CustomNonbondedForce.CutoffNonPeriodic)
        force.setCutoffDistance(0.6)
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(0.3)
    if groups:
        force.addInteractionGroup([0, 1, 2, 3], [2, 3, 4])
        force.addInteractionGroup([0, 1], [3, 8])
    return force


def custom_nonbonded_cutoff():
    return custom_nonbonded(cutoff=True)


def custom_nonbonded_groups():
    return custom_nonbonded(groups=True)


def gbsa_obc(cutoff=False):
    force = openmm.GBSAOBCForce()
    for _ in range(N_ATOMS):
        force.addParticle(uniform(-0.6, 0.6), uniform(0.12, 0.2), uniform(0.7, 0.9))
    force.setSoluteDielectric(1.5)
    if cutoff:
        force.setNonbondedMethod(openmm.GBSAOBCForce.CutoffNonPeriodic)
        force.setCutoffDistance(0.7)
    return force


def gbsa_obc_cutoff():
    return gbsa_obc(cutoff=True)


def shipped_gb(model):
    """OpenMM's own CustomGBForce of a model, as a force field builds it."""
    force = getattr(internal, model)(SA="ACE")
    topology = app.Topology()
    residue = topology.addResidue("ALA", topology.addChain())
    for i, symbol in enumerate("CHNOCHNOC"):
        topology.addAtom(f"{symbol}{i}", app.Element.getBySymbol(symbol), residue)
    atoms = list(topology.atoms())
    for first, second in pairwise(atoms):
        topology.addBond(first, second)
    radii = force.getStandardParameters(topology)
    for row in radii:
        force.addParticle([uniform(-0.6, 0.6), *row])
    force.finalize()
    return force


def gb_hct():
    return shipped_gb("GBSAHCTForce")


def gb_obc1():
    return shipped_gb("GBSAOBC1Force")


def gb_n():
    return shipped_gb("GBSAGBnForce")


def gb_n2():
    return shipped_gb("GBSAGBn2Force")


def custom_gb(cutoff=False):
    """Every computation type, exclusions, positions and tables in one force."""
    force = openmm.CustomGBForce()
    force.addPerParticleParameter("a")
    force.addGlobalParameter("g", 0.3)
    force.addTabulatedFunction("table", openmm.Continuous1DFunction(list(RNG.normal(size=9)), 0.0, 1.5))
    pair, every, single = force.ParticlePair, force.ParticlePairNoExclusions, force.SingleParticle
    force.addComputedValue("s", "a1*a2^2*exp(-r/g) + table(r)", pair)
    force.addComputedValue("u", "sin(s*a) + g + x*y^2", single)
    force.addComputedValue("v", "cos(u) + s^2/(1+s^2) + z", single)
    force.addEnergyTerm("u*v + s - x^2", single)
    force.addEnergyTerm("(u1+u2)*(v1+v2)*exp(-r)*s1*s2", pair)
    force.addEnergyTerm("g*a1*a2*v1*v2/(1+r)", every)
    for _ in range(N_ATOMS):
        force.addParticle([uniform(0.5, 2.0)])
    force.addExclusion(0, 1)
    force.addExclusion(5, 2)
    if cutoff:
        force.setNonbondedMethod(openmm.CustomGBForce.CutoffNonPeriodic)
        force.setCutoffDistance(0.6)
    return force


def custom_gb_cutoff():
    return custom_gb(cutoff=True)


FORCES = [
    harmonic_bond,
    harmonic_angle,
    periodic_torsion,
    ryckaert_bellemans,
    cmap,
    nonbonded,
    nonbonded_cutoff,
    nonbonded_switched,
    custom_bond,
    custom_angle,
    custom_torsion,
    custom_compound_bond,
    tabulated_compound_bond,
    custom_external,
    custom_nonbonded,
    custom_nonbonded_cutoff,
    custom_nonbonded_groups,
    gbsa_obc,
    gbsa_obc_cutoff,
    gb_hct,
    gb_obc1,
    gb_n,
    gb_n2,
    custom_gb,
    custom_gb_cutoff,
]


def system_with(make) -> openmm.System:
    system = particles()
    system.addForce(make())
    return system
