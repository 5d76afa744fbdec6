"""Whether this installation works: what it has, and energies of a few molecules beside OpenMM's."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import distributions

import openmm
import torch

from boltzgen.codegen.cache import cache_folder
from boltzgen.codegen.library import find_compiler
from boltzgen.cores import usable_cores
from boltzgen.energies.compiler import compile_system
from boltzgen.records.doctor import DoctorSummary, EnergyCheck
from boltzgen.systems import load_system
from boltzgen.workflows.versions import package_versions

CHECKED = (("CC(=O)Nc1ccccc1", "mmff94", "vacuum"), ("CS(=O)(=O)NCCO", "mmff94s", "obc2"))
"""Molecule, force field and solvent of each energy that is checked."""

LARGEST_DEVIATION = 1e-6
"""Of energies in float64 from OpenMM's Reference platform, in kJ/mol; they differ by rounding alone."""

EXTRAS = {
    "xtb": ("tblite",),
    "ml": ("openmmml",),
    "cluster": ("submitit", "pyarrow"),
    "cuda": ("cuda-bindings", "nvidia-cuda-nvrtc"),
    "notebook": ("py3dmol",),
    "tensorboard": ("tensorboard",),
}
"""The packages that each extra of the installation brings, in lower case."""


def doctor() -> DoctorSummary:
    """What the installation has, and whether its energies are OpenMM's.

    Each energy is computed by torch operations and, where there is a C++ compiler, by machine code.
    """
    compiler = find_compiler()
    ways = [False] if compiler is None else [False, True]
    checks = [energy_check(*checked, compiled) for checked in CHECKED for compiled in ways]
    installed = {found.name.lower() for found in distributions()}
    return DoctorSummary(
        versions=package_versions(),
        system=platform.platform(),
        devices=_devices(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        compiler=compiler,
        compilation=os.environ.get("BOLTZGEN_COMPILE") != "0",
        cache_folder=str(cache_folder()),
        openmm_platforms=[
            openmm.Platform.getPlatform(index).getName() for index in range(openmm.Platform.getNumPlatforms())
        ],
        extras={name: installed.issuperset(needed) for name, needed in EXTRAS.items()},
        energies=checks,
        healthy=all(check.passed for check in checks),
    )


def energy_check(molecule: str, forcefield: str, solvent: str, compiled: bool) -> EnergyCheck:
    """The energy of two conformers beside OpenMM's, by machine code if ``compiled``."""
    started = time.monotonic()
    system = load_system(molecule, forcefield, solvent)
    positions = system.molecule.seed_conformers(2)
    x = torch.as_tensor(positions, dtype=torch.float64).permute(2, 1, 0).contiguous()
    ours = compile_system(system.system, compiled=compiled)(x)
    context = openmm.Context(
        system.system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    deviation = 0.0
    for frame, energy in zip(positions, ours.tolist(), strict=True):
        context.setPositions(frame)
        state = context.getState(getEnergy=True)
        theirs = state.getPotentialEnergy().value_in_unit(openmm.unit.kilojoule_per_mole)
        deviation = max(deviation, abs(energy - theirs))
    return EnergyCheck(
        molecule=molecule,
        forcefield=forcefield,
        solvent=solvent,
        compiled=compiled,
        deviation_kJ_mol=deviation,
        seconds=time.monotonic() - started,
        passed=deviation <= LARGEST_DEVIATION,
    )


def _devices() -> list[str]:
    """The CPU and the GPUs that torch can use."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ["cpu", *(f"cuda:{index} ({name})" for index, name in enumerate(gpus))]
