"""Free energies against methods that share no code with the models: between temperatures, and of solvation.

    python scripts/benchmarks/free_energies.py [--budget 60] [--picoseconds 150] [--only NAME ...] [--seed 0]
        [--json [FILE]] [--quick]

Temperatures: ln Z(400 K)/Z(300 K) of molecules with several conformers. Two flows, each trained at its own
temperature on MMFF94 in vacuum, by importance weights alone; and replica exchange with MBAR (pymbar) over all
its rungs, which knows no model. Populations of a state at 300 K by either.

Solvation: F in OBC2 minus F in vacuum at 300 K. Two flows by importance weights; and MBAR along a path on
which the solvent's force is scaled, at 0, 1/2 and 1, sampled by OpenMM's own energies and forces on its
Reference platform, of ``--picoseconds`` at each point.
"""

import argparse
import math
from typing import Any

import numpy as np
import openmm
from harness import Benchmark, Column, Recorder, figure, option_parser, table

import boltzgen
from boltzgen.report.comparison import Rows
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.thermodynamics.multistate import multistate
from boltzgen.units import KJ_PER_KCAL, thermal_energy

TEMPERATURES = (300.0, 400.0)
CONFORMERS = {
    "butane": ("CCCC", "gauche: torsion 0-1-2-3 in [-120, 120]"),
    "1,2-dichloroethane": ("ClCCCl", "gauche: torsion 0-1-2-3 in [-120, 120]"),
    "methylcyclohexane": ("CC1CCCCC1", "axial: torsion 0-1-2-3 in [-120, 120]"),
    "alanine dipeptide": ("CC(=O)N[C@@H](C)C(=O)NC", "C7eq: torsion 1-3-4-6 in [-180, 0]"),
}
SOLVATED = {
    "methanol": "CO",
    "ethanol": "CCO",
    "acetone": "CC(C)=O",
    "acetonitrile": "CC#N",
    "methylamine": "CN",
    "acetamide": "CC(N)=O",
    "dimethyl ether": "COC",
    "pyridine": "c1ccncc1",
    "methanethiol": "CS",
    "chloroform": "ClC(Cl)Cl",
}
POINTS = (0.0, 0.5, 1.0)
STEP, FRICTION = 0.001, 5.0  # ps, 1/ps
STEPS_PER_FRAME, BLOCKS = 100, 20
HYDROGEN = 4.0  # dalton: masses do not enter
IMPORTANCE, LADDER = "two models, importance weights", "MBAR over temperatures"

DIFFERENCES = (
    Column("molecule", figure("name")),
    Column("by two flows", figure("flows_kcal_mol", ".3f")),
    Column("±", figure("flows_stderr_kcal_mol", ".3f")),
    Column("by MBAR", figure("mbar_kcal_mol", ".3f")),
    Column("± ", figure("mbar_stderr_kcal_mol", ".3f")),
    Column("difference", figure("difference_kcal_mol", "+.3f")),
    Column("in standard errors", figure("errors", ".1f")),
    Column("s", figure("seconds", ".0f")),
)
POPULATIONS = (
    Column("molecule", figure("name")),
    Column("state", figure("state")),
    Column("by weights, %", figure("population_weights", ".2f", 100.0)),
    Column("by replica exchange, %", figure("population_frames", ".2f", 100.0)),
    Column("together, %", figure("population", ".2f", 100.0)),
    Column("±", figure("population_stderr", ".2f", 100.0)),
)


def tables(figures: dict[str, Any]) -> list[Rows]:
    """Temperatures, populations at 300 K and solvation."""
    return [
        table("From 300 to 400 K, kT₂ ln Z₁/Z₂ in kcal/mol", figures["temperatures"], DIFFERENCES),
        table("Populations at 300 K", figures["temperatures"], POPULATIONS),
        table("Solvation in OBC2 at 300 K, kcal/mol", figures["solvation"], DIFFERENCES),
    ]


BENCHMARK = Benchmark(
    "free_energies",
    "Free energies against MBAR",
    "Free energies of two flows, by importance weights alone, against replica exchange with MBAR over"
    " temperatures, and against MBAR along a path that scales the solvent's force, sampled by OpenMM itself.",
    "python scripts/benchmarks/free_energies.py --json",
    tables,
)


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "butane and methanol, short")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of each flow's run")
    parser.add_argument("--picoseconds", type=float, default=150.0, help="at each point of the path")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of these molecules alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = options.only or (["butane", "methanol"] if options.quick else [*CONFORMERS, *SOLVATED])
    if unknown := [name for name in names if name not in CONFORMERS and name not in SOLVATED]:
        raise SystemExit(f"no such molecule here: {', '.join(unknown)}")
    recorder = Recorder(BENCHMARK, options.json, options.quick)
    figures: dict[str, Any] = {"temperatures": [], "solvation": []}
    for name in names:
        if name in CONFORMERS:
            figures["temperatures"].append(between_temperatures(name, options))
        else:
            figures["solvation"].append(solvation(name, options))
        recorder.keep(figures)
    BENCHMARK.show(figures)


def between_temperatures(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The reduced difference, free of where energies are zero at either temperature, times kT₂."""
    smiles, state = CONFORMERS[name]
    first, second = TEMPERATURES
    found = boltzgen.free_energy(
        smiles,
        between=({"T": first}, {"T": second}),
        states=[state],
        budget=budget(options),
        seed=options.seed,
    )
    assert found.difference is not None
    estimates = {one.estimator: one for one in found.difference.estimates}
    absolute = {
        state.temperature_K: next(one for one in state.estimates if one.estimator == "importance weights")
        for state in found.states
    }
    kT = {temperature: thermal_energy(temperature) for temperature in TEMPERATURES}
    by_flows = kT[second] * (
        absolute[second].free_energy_kJ_mol / kT[second] - absolute[first].free_energy_kJ_mol / kT[first]
    )
    stderr = math.hypot(
        absolute[second].stderr_kJ_mol, kT[second] / kT[first] * absolute[first].stderr_kJ_mol
    )
    # The ladder's figure is anchored by the reported F at the first temperature: that is taken out again.
    anchor = found.states[0].free_energy_kJ_mol
    by_ladder = estimates[LADDER].free_energy_kJ_mol - (kT[second] / kT[first] - 1) * anchor
    anchor_error = (kT[second] / kT[first] - 1) * found.states[0].free_energy_stderr_kJ_mol
    ladder_stderr = math.sqrt(max(estimates[LADDER].stderr_kJ_mol ** 2 - anchor_error**2, 1e-8))
    region = found.states[0].regions[0]
    return {
        **compared(name, by_flows, stderr, by_ladder, ladder_stderr, found.wall_seconds["total"]),
        "state": region.name,
        "population": region.population,
        "population_stderr": region.population_stderr,
        "population_weights": region.by_importance_weights,
        "population_frames": region.by_replica_exchange,
        "converged": found.converged,
        "warnings": found.warnings,
    }


def solvation(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Two flows, and the path."""
    found = boltzgen.free_energy(
        SOLVATED[name],
        between=({"solvent": "vacuum"}, {"solvent": "obc2"}),
        budget=budget(options),
        seed=options.seed,
    )
    assert found.difference is not None
    flows = next(one for one in found.difference.estimates if one.estimator == IMPORTANCE)
    picoseconds = 10.0 if options.quick else options.picoseconds
    value, stderr = along_path(load_system(SOLVATED[name], solvent="obc2"), picoseconds, options.seed)
    row = compared(
        name, flows.free_energy_kJ_mol, flows.stderr_kJ_mol, value, stderr, found.wall_seconds["total"]
    )
    return row | {"converged": found.converged, "warnings": found.warnings}


def compared(
    name: str, flows: float, flows_error: float, mbar: float, mbar_error: float, seconds: float
) -> dict[str, Any]:
    """Both values in kcal/mol, and how they differ."""
    return {
        "name": name,
        "flows_kcal_mol": flows / KJ_PER_KCAL,
        "flows_stderr_kcal_mol": flows_error / KJ_PER_KCAL,
        "mbar_kcal_mol": mbar / KJ_PER_KCAL,
        "mbar_stderr_kcal_mol": mbar_error / KJ_PER_KCAL,
        "difference_kcal_mol": (flows - mbar) / KJ_PER_KCAL,
        "errors": abs(flows - mbar) / math.hypot(flows_error, mbar_error),
        "seconds": seconds,
    }


def along_path(system: MolecularSystem, picoseconds: float, seed: int) -> tuple[float, float]:
    """F with the solvent minus F without, and its standard error, in kJ/mol."""
    kT = thermal_energy(300.0)
    scaled = openmm.XmlSerializer.clone(system.system)
    for force in scaled.getForces():
        force.setForceGroup(int(force.getName() == "implicit solvent"))
    for atom in range(scaled.getNumParticles()):
        mass = scaled.getParticleMass(atom)._value
        scaled.setParticleMass(atom, max(mass, HYDROGEN))
    sets = []
    for index, point in enumerate(POINTS):
        rest, solvent = _sampled(scaled, system, point, picoseconds, seed + index)
        energies = np.array([(rest + other * solvent) / kT for other in POINTS])
        each = len(rest) // BLOCKS
        sets.append(energies[:, : each * BLOCKS].reshape(len(POINTS), BLOCKS, each))
    found = multistate(sets)
    return kT * float(found.f[-1]), kT * float(found.stderr[-1])


def _sampled(
    scaled: openmm.System, system: MolecularSystem, point: float, picoseconds: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Energies (kJ/mol) without the solvent's force, and of it, of frames with it scaled by ``point``."""
    context = openmm.Context(scaled, _integrator(point, seed), openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(system.molecule.first_conformer)
    context.setVelocitiesToTemperature(300.0, seed + 1)
    frames = max(int(picoseconds / STEP / STEPS_PER_FRAME), 2 * BLOCKS)
    context.getIntegrator().step(frames // 10 * STEPS_PER_FRAME)
    rest, solvent = np.empty(frames), np.empty(frames)
    for frame in range(frames):
        context.getIntegrator().step(STEPS_PER_FRAME)
        rest[frame] = context.getState(getEnergy=True, groups={0}).getPotentialEnergy()._value
        solvent[frame] = context.getState(getEnergy=True, groups={1}).getPotentialEnergy()._value
    return rest, solvent


def _integrator(point: float, seed: int) -> openmm.CustomIntegrator:
    """Langevin dynamics (the middle scheme) on forces of which those of group 1 are scaled by ``point``."""
    integrator = openmm.CustomIntegrator(STEP)
    decay = math.exp(-FRICTION * STEP)
    for name, value in {
        "point": point, "decay": decay, "noise": math.sqrt(1 - decay**2), "kT": thermal_energy(300.0)
    }.items():  # fmt: skip
        integrator.addGlobalVariable(name, value)
    integrator.addUpdateContextState()
    integrator.addComputePerDof("v", "v + dt*f0/m")
    integrator.addComputePerDof("v", "v + dt*point*f1/m")
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    integrator.addComputePerDof("v", "decay*v + noise*sqrt(kT/m)*gaussian")
    integrator.addComputePerDof("x", "x + 0.5*dt*v")
    integrator.setRandomNumberSeed(seed + 1)
    return integrator


def budget(options: argparse.Namespace) -> float:
    """Seconds of a run."""
    return 15.0 if options.quick else options.budget


if __name__ == "__main__":
    main()
