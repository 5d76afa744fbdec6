#!/usr/bin/env python
"""Energies and forces a second: machine code, plain torch and a loop over OpenMM, in one run.

    python scripts/benchmarks/energies.py [--quick] [--json [FILE]] [--molecules FILE.smi] [--threads N]

Float32, batch 1024, after warm-up, best of several repeats, on N threads (default: all cores). It prints

1. thousands of energies with forces a second: compiled, uncompiled, and a loop over one OpenMM context on the
   faster of the Reference platform and the CPU platform with N threads (double and single precision);
2. how the compiled rate scales with the batch, and with the atoms (the table of 1);
3. peak memory a configuration at 200 atoms and batch 1024 (growth within a fresh process; Linux);
4. seconds to the first energy of a molecule in a new process, start of Python and imports included: with no
   library on disk, then with all of them;
5. on a GPU, where there is one: rate at batch 65536 by device events.

Run it on a quiet machine: every rate is wall time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from harness import (
    Benchmark,
    Column,
    Recorder,
    add_molecules_option,
    figure,
    option_parser,
    read_molecules,
    table,
)
from openmm import unit

from boltzgen.energies import Energy
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import InputError
from boltzgen.report.comparison import Rows
from boltzgen.systems import MolecularSystem, load_system

BATCH = 1024
SYSTEMS = {
    "alanine dipeptide, MMFF94": ("CC(=O)N[C@@H](C)C(=O)NC", None, None),
    "alanine dipeptide, ff96": ("alanine-dipeptide-vacuum", None, None),
    "alanine dipeptide, ff96 + OBC1": ("alanine-dipeptide", None, None),
    "ibuprofen, MMFF94": ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", None, None),
    "ibuprofen, MMFF94 + OBC2": ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", "mmff94", "obc2"),
    "hexapeptide, ff99SB-ILDN + OBC2": ("alanine-hexapeptide", None, None),
    "chignolin": ("chignolin", None, None),
}
THOUSANDS = 1e-3
COLUMNS = (
    Column("system", figure("system")),
    Column("atoms", figure("n_atoms")),
    Column("compiled", figure("compiled_per_second", ".1f", THOUSANDS)),
    Column("plain torch", figure("uncompiled_per_second", ".2f", THOUSANDS)),
    Column("OpenMM Reference", figure("openmm_reference_per_second", ".2f", THOUSANDS)),
    Column("OpenMM CPU", figure("openmm_cpu_per_second", ".2f", THOUSANDS)),
    Column("compiled / faster OpenMM", figure("ratio_to_openmm", ".0f")),
    Column("largest float32 error of a force", figure("float32_force_error_max", ".1e")),
)
BATCH_COLUMNS = (
    Column("batch", figure("batch")),
    Column("thousands a second", figure("per_second", ".0f", THOUSANDS)),
)
FIRST_COLUMNS = (
    Column("with nothing on disk, s", figure("first_energy_cold_seconds", ".1f")),
    Column("of which compiling", figure("compilation_cold_seconds", ".2f")),
    Column("afterwards, for another molecule, s", figure("first_energy_warm_seconds", ".1f")),
    Column("of which compiling", figure("compilation_warm_seconds", ".2f")),
)
MEMORY_COLUMNS = (
    Column("atoms", figure("n_atoms", ".0f")),
    Column("compiled, KiB", figure("compiled_KiB_per_configuration", ".1f")),
    Column("plain torch, KiB", figure("uncompiled_KiB_per_configuration", ".1f")),
)
GPU_COLUMNS = (
    Column("device", figure("device")),
    Column("batch", figure("batch")),
    Column("millions a second", figure("per_second", ".2f", 1e-6)),
)


def tables(figures: dict[str, Any]) -> list[Rows]:
    """Rates, then what else was measured."""
    title = f"Thousands of energies with forces a second, batch {figures['batch']}, float32"
    found = [
        table(f"{title}, {figures['threads']} thread(s)", figures["systems"], COLUMNS),
        table("Alanine dipeptide in ff96 + OBC1 by batch, compiled", figures["by_batch"], BATCH_COLUMNS),
        table(
            "The first energy in a new process, start of Python and imports included",
            [figures["first_energy"]],
            FIRST_COLUMNS,
        ),
    ]
    if "memory" in figures:
        found.append(table("Peak memory a configuration", [figures["memory"]], MEMORY_COLUMNS))
    if "gpu" in figures:
        found.append(table("On a GPU, alanine dipeptide in ff96 + OBC1", [figures["gpu"]], GPU_COLUMNS))
    return found


BENCHMARK = Benchmark(
    "energies",
    "Energies and forces",
    "Energies with forces a second: the generated machine code, the same expressions in plain torch, and a "
    "loop over one OpenMM context that sets positions and gets energy and forces.",
    "python scripts/benchmarks/energies.py --quick --json",
    tables,
)
PROBE_FIRST = """
import time, torch
from boltzgen.energies.compiler import compile_system
from boltzgen.systems import load_system
molecular = load_system({spec!r})
x = torch.tensor(molecular.molecule.seed_conformers(1, seed=1), dtype=torch.float32).permute(2, 1, 0)
start = time.perf_counter()
compile_system(molecular.system).energy_and_gradient(x.contiguous())
print(time.perf_counter() - start)
"""
PROBE_MEMORY = """
import openmm, torch
from pathlib import Path
from boltzgen.energies.compiler import compile_system

def kibibytes(field):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(field))

torch.set_num_threads(1)
system, pairs, solvent = openmm.System(), openmm.NonbondedForce(), openmm.GBSAOBCForce()
for i in range({atoms}):
    system.addParticle(12.0)
    pairs.addParticle(0.1 * (-1) ** i, 0.3, 0.4)
    solvent.addParticle(0.1 * (-1) ** i, 0.15, 0.8)
system.addForce(pairs)
system.addForce(solvent)
energy = compile_system(system, compiled={compiled})
x = torch.randn(3, {atoms}, {batch})
energy.energy_and_gradient(x[:, :, :1].contiguous())
Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is used now
before = kibibytes("VmRSS")
energy.energy_and_gradient(x)
print((kibibytes("VmHWM") - before) / {batch})
"""


def thermal_positions(system: MolecularSystem, batch: int) -> torch.Tensor:
    """Seed conformers with 0.004 nm of noise, float32 [3, atoms, batch]."""
    conformers = system.molecule.seed_conformers(4, seed=1)
    generator = np.random.default_rng(0)
    frames = conformers[generator.integers(len(conformers), size=batch)]
    frames = frames + 0.004 * generator.normal(size=frames.shape)
    return torch.tensor(frames, dtype=torch.float32).permute(2, 1, 0).contiguous()


def best_rate(work: Callable[[], object], configurations: int, seconds: float, repeats: int) -> float:
    """Configurations a second: the best of ``repeats`` stretches of about ``seconds`` each."""
    work()
    start = time.perf_counter()
    work()
    once = time.perf_counter() - start
    if once > 2 * seconds:
        return configurations / once
    calls, best = max(1, int(seconds / once)), 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        best = max(best, calls * configurations / (time.perf_counter() - start))
    return best


def openmm_rates(system: openmm.System, x: torch.Tensor, seconds: float, repeats: int) -> dict[str, float]:
    """A plain loop: set positions, get energy and forces; for each platform."""
    frames = x.permute(2, 1, 0).double().numpy()[:32]
    rates = {}
    for name, options in (("Reference", {}), ("CPU", {"Threads": str(torch.get_num_threads())})):
        platform = openmm.Platform.getPlatformByName(name)
        context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform, options)

        def loop(context: openmm.Context = context) -> None:
            for frame in frames:
                context.setPositions(frame)
                state = context.getState(getEnergy=True, getForces=True)
                state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
                state.getForces(asNumpy=True)

        rates[name] = best_rate(loop, len(frames), seconds, repeats)
    return rates


def rate_of(energy: Energy, x: torch.Tensor, seconds: float, repeats: int) -> float:
    return best_rate(lambda: energy.energy_and_gradient(x), x.shape[2], seconds, repeats)


def measure_system(name: str, system: MolecularSystem, seconds: float, repeats: int) -> dict[str, Any]:
    x = thermal_positions(system, BATCH)
    compiled = compile_system(system.system, compiled=True)
    plain = compile_system(system.system, compiled=False)
    loops = openmm_rates(system.system, x, seconds, repeats)
    _, single = compiled.energy_and_gradient(x[:, :, :64])
    _, double = plain.energy_and_gradient(x[:, :, :64].double())
    error = (single.double() - double).norm(dim=(0, 1)) / double.norm(dim=(0, 1))
    rate = rate_of(compiled, x, seconds, repeats)
    return {
        "system": name,
        "n_atoms": x.shape[1],
        "compiled_per_second": rate,
        "uncompiled_per_second": rate_of(plain, x, seconds, repeats),
        **{f"openmm_{platform.lower()}_per_second": loop for platform, loop in loops.items()},
        "ratio_to_openmm": rate / max(loops.values()),
        "float32_force_error_max": float(error.max()),
    }


def probe(source: str, **environment: str) -> list[float]:
    """Numbers printed by a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return [float(word) for word in done.stdout.split()]


def first_energy() -> dict[str, float]:
    """Seconds from the start of a new Python to its end after one energy: imports, force field, compilation.

    Without any library on disk (cold), then for another molecule (warm); of these, seconds of compiling.
    """
    found = {}
    molecules = {"cold": "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", "warm": "CC(=O)Oc1ccccc1C(=O)O"}
    with tempfile.TemporaryDirectory() as folder:
        for state, spec in molecules.items():
            start = time.perf_counter()
            (compilation,) = probe(PROBE_FIRST.format(spec=spec), BOLTZGEN_CACHE=folder)
            found[f"first_energy_{state}_seconds"] = time.perf_counter() - start
            found[f"compilation_{state}_seconds"] = compilation
    return found


def memory(atoms: int = 200) -> dict[str, float]:
    """Kibibytes a configuration of atoms with charges in OBC2, compiled and not; 2.3 of them are the result.

    Read from /proc: Linux only. The batch is so large that memory left over from the imports does not hide
    what it needs.
    """
    found: dict[str, float] = {"n_atoms": atoms}
    for name, compiled, batch in (("compiled", True, 16 * BATCH), ("uncompiled", False, BATCH)):
        source = PROBE_MEMORY.format(atoms=atoms, compiled=compiled, batch=batch)
        (found[f"{name}_KiB_per_configuration"],) = probe(source)
    return found


def on_gpu(system: MolecularSystem, batch: int = 65536, calls: int = 10) -> dict[str, float]:
    """Rate by device events, float32."""
    energy = compile_system(system.system)
    x = thermal_positions(system, batch).cuda()
    energy.energy_and_gradient(x)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(calls):
        energy.energy_and_gradient(x)
    end.record()
    torch.cuda.synchronize()
    return {"batch": batch, "per_second": calls * batch / (start.elapsed_time(end) * 1e-3)}


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "fewer systems and repeats; a minute")
    add_molecules_option(parser, "SMILES and name per line, in MMFF94, instead of the table")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds, repeats = (0.2, 2) if arguments.quick else (0.5, 5)
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    rows: list[dict[str, Any]] = []
    for name, (spec, forcefield, solvent) in chosen_systems(arguments).items():
        print(f"{name}: {spec}", flush=True)
        try:
            system = load_system(spec, forcefield, solvent)
        except InputError as error:
            print(f"left out: {error}", flush=True)
            continue
        rows.append(measure_system(name, system, seconds, repeats))
    report: dict[str, Any] = {"threads": arguments.threads, "batch": BATCH, "systems": rows}
    dipeptide = load_system("alanine-dipeptide")
    compiled = compile_system(dipeptide.system, compiled=True)
    sizes = (64, 1024, 4096) if arguments.quick else (64, 256, 1024, 4096, 16384)
    report["by_batch"] = [
        {"batch": size, "per_second": rate_of(compiled, thermal_positions(dipeptide, size), seconds, repeats)}
        for size in sizes
    ]
    report["first_energy"] = first_energy()
    if Path("/proc/self/clear_refs").exists():
        report["memory"] = memory()
    if torch.cuda.is_available():
        report["gpu"] = {"device": torch.cuda.get_device_name(), **on_gpu(dipeptide)}
    recorder.keep(report)
    BENCHMARK.show(report)


def chosen_systems(arguments: argparse.Namespace) -> dict[str, tuple[str, str | None, str | None]]:
    """Specification, force field and solvent by name."""
    if arguments.molecules:
        listed = read_molecules(arguments.molecules)
        return {name: (smiles, "mmff94", None) for name, smiles in listed.items()}
    return dict(list(SYSTEMS.items())[: 4 if arguments.quick else None])


if __name__ == "__main__":
    main()
