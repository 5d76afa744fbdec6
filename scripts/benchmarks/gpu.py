"""A GPU beside the CPU of the same machine: first whether it computes the same, then how fast.

    python scripts/benchmarks/gpu.py --prepare FOLDER [--quick]
    python scripts/benchmarks/gpu.py [PROBLEM ...] [--device cuda] [--json [FILE]] [--quick]

The first command writes a problem for each molecule (22, 33, 45 and 60 atoms in MMFF94, 22 atoms with OBC2
as well); it needs RDKit and OpenMM. The second reads such files with torch and boltzgen alone, so that it
runs on a machine that has neither; without files it prepares them first. A problem whose energies or
densities differ from double precision on the CPU is not timed.

Measured are energies with gradients a second against the batch, training samples a second in each stage,
steps of dynamics a second, the time from an untrained model until half of the last batches' samples are
effective, kernels launched and waits for the device in a step, and the most memory used. All rates are wall
time between synchronisations. With ``--device cpu`` everything is measured on the CPU alone.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from harness import Benchmark, Column, Recorder, figure, option_parser, table
from torch import Tensor
from waits import Waits

from boltzgen.models.model import GenerativeModel
from boltzgen.problem import Problem
from boltzgen.report.comparison import Rows
from boltzgen.sampling.frames import FramesConfig, thermal_dynamics
from boltzgen.training.config import TrainingConfig
from boltzgen.training.executors.alone import Alone
from boltzgen.training.families import untrained_model
from boltzgen.training.recipes import flow_stages
from boltzgen.training.stage import Stage
from boltzgen.training.trainer import train
from boltzgen.workflows.devices import JUDGED, Differences, differences
from boltzgen.workflows.training_data import energy_data

MOLECULES = {
    "alanine dipeptide": ("CC(=O)N[C@@H](C)C(=O)NC", None),
    "alanine dipeptide, OBC2": ("CC(=O)N[C@@H](C)C(=O)NC", "obc2"),
    "ibuprofen": ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", None),
    "ibuprofen butyl ester": ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)OCCCC", None),
    "ibuprofen nonyl ester": ("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)OCCCCCCCCC", None),
}
FRAMES = FramesConfig(ladders=16, picoseconds=2.0, walkers=64, local_picoseconds=2.0)
WANTED_ESS = 0.5


@contextmanager
def stopped(device: torch.device) -> Iterator[Callable[[], float]]:
    """Wall seconds of what is done inside, from a device at rest to one."""
    synchronize(device)
    start, seconds = time.perf_counter(), [0.0]
    yield lambda: seconds[0]
    synchronize(device)
    seconds[0] = time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(work: Callable[[], object], amount: int, device: torch.device, seconds: float) -> float:
    """``amount`` per call over wall seconds, in calls that take about ``seconds`` together."""
    work()
    with stopped(device) as once:
        work()
    calls = max(1, int(seconds / max(once(), 1e-6)))
    with stopped(device) as spent:
        for _ in range(calls):
            work()
    return calls * amount / spent()


def frames_of(problem: Problem, batch: int) -> Tensor:
    """``batch`` frames [3, atoms, batch] in single precision, repeated where there are fewer."""
    frames = problem.frames.within_conformers
    index = torch.arange(batch, device=frames.device) % len(frames)
    return frames[index].permute(2, 1, 0).contiguous()


def new_model(problem: Problem) -> GenerativeModel:
    torch.manual_seed(1)
    model = untrained_model("flow", {}, problem)
    assert isinstance(model, GenerativeModel)
    return model


def errors(problem: Problem) -> Differences:
    """Of the problem's own frames and an untrained model's samples."""
    return differences(new_model(problem), problem.target.energy, frames_of(problem, JUDGED))


def energy_rates(problem: Problem, batches: list[int], seconds: float) -> list[dict[str, Any]]:
    evaluate, rows = problem.target.energy.energy_and_gradient, []
    for batch in batches:
        x = frames_of(problem, batch)
        per_second = rate(lambda x=x: evaluate(x), batch, problem.device, seconds)  # type: ignore[misc]
        rows.append({"batch": batch, "per_second": per_second})
    return rows


def stages_of(problem: Problem, config: TrainingConfig) -> tuple[GenerativeModel, list[Stage]]:
    model = new_model(problem)
    data = energy_data(problem, model, torch.Generator(problem.device).manual_seed(2))
    return model, flow_stages(model, data, config)  # type: ignore[arg-type]


def training_rates(problem: Problem, batch: int, steps: int) -> list[dict[str, Any]]:
    """Samples a second of each stage of the training, with the optimiser's step, and its operations."""
    config = TrainingConfig(max_steps=steps, batch_size=batch, processes=1, stop_early=False)
    model, stages = stages_of(problem, config)
    rows = []
    for stage in stages:
        alone = replace(stage, share=1.0)
        train(model, [alone], config)  # what is compiled and captured once
        with stopped(problem.device) as spent:
            result = train(model, [alone], config)
        executor = Alone(stage.objective, [p for p in model.parameters() if p.requires_grad])
        rows.append(
            {
                "stage": stage.name,
                "batch": batch,
                "per_second": result.steps * batch / spent(),
                **operations(lambda executor=executor: executor.loss_and_gradient(0, 1.0), problem.device),  # type: ignore[misc]
            }
        )
    return rows


def operations(work: Callable[[], object], device: torch.device) -> dict[str, int]:
    """Kernels launched and waits in one call; on the CPU, operations and those that would wait."""
    if device.type != "cuda":
        with Waits() as seen:
            work()
        return {"launches": seen.operations, "waits": sum(seen.waits.values())}
    work()
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        waits_of_this = 1  # the next line's own
        torch.cuda.synchronize(device)
    counts = {event.key: event.count for event in profile.key_averages()}
    launches = sum(
        n for key, n in counts.items() if key in ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
    )
    waits = sum(n for key, n in counts.items() if "Synchronize" in key)
    return {"launches": launches, "waits": waits - waits_of_this}


def dynamics_rate(problem: Problem, walkers: int, steps: int) -> dict[str, Any]:
    """Steps of all walkers a second."""
    generator = torch.Generator(problem.device).manual_seed(3)
    dynamics = thermal_dynamics(problem.target, problem.masses, 0.002, 5.0)
    state, _ = dynamics.run(
        dynamics.init(frames_of(problem, walkers).permute(2, 1, 0), generator), 2, generator
    )
    with stopped(problem.device) as spent:
        dynamics.run(state, steps, generator)
    one = operations(lambda: dynamics.run(state, 1, generator), problem.device)
    return {"walkers": walkers, "walker_steps_per_second": steps * walkers / spent(), **one}


def time_to_ess(problem: Problem, batch: int, limit: float) -> float | None:
    """Wall seconds of training until the last batches have ``WANTED_ESS``; None if not within ``limit``."""
    config = TrainingConfig(budget_seconds=limit, batch_size=batch, processes=1, stop_early=False)
    model, stages = stages_of(problem, config)
    result = train(model, stages, config)
    return next((elapsed for elapsed, _, share, *_ in result.history if share >= WANTED_ESS), None)


def memory_MiB(device: torch.device) -> float:
    """The most that was in use so far: of the GPU's memory, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def measure(path: Path, device: torch.device, quick: bool) -> dict[str, Any]:
    """All figures of one problem on one device; only the errors where these are too large."""
    problem = Problem.load(path, device)
    row: dict[str, Any] = {"molecule": path.stem, "n_atoms": problem.target.n_atoms, "device": device.type}
    found = errors(problem)
    row |= {f"{name}_error": value for name, value in asdict(found).items()}
    if not found.are_small:
        return row
    batches = [64, 1024] if quick else [256, 1024, 4096, 16384, 65536]
    seconds, batch, steps = (0.05, 64, 4) if quick else (1.0, 4096 if device.type == "cuda" else 512, 64)
    row["energies"] = energy_rates(problem, batches, seconds)
    row["training"] = training_rates(problem, batch, steps)
    row["dynamics"] = dynamics_rate(problem, batch, 8 if quick else 200)
    row["seconds_to_ess"] = time_to_ess(problem, batch, 1.0 if quick else 300.0)
    row["memory_MiB"] = memory_MiB(device)
    return row


def prepare(folder: Path, quick: bool) -> list[Path]:
    """Write the problems, which takes RDKit and OpenMM; with ``quick`` that of a small molecule alone."""
    from boltzgen.progress import Stopwatch
    from boltzgen.workflows.config import SampleConfig
    from boltzgen.workflows.preparation import prepare as prepared

    molecules = {"2-fluoroethanol": ("OCCF", "obc2")} if quick else MOLECULES
    frames = FramesConfig(ladders=4, picoseconds=0.5, walkers=16, local_picoseconds=0.5) if quick else FRAMES
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (smiles, solvent) in molecules.items():
        training = TrainingConfig(max_steps=1)
        config = SampleConfig(molecule=smiles, solvent=solvent, frames=frames, training=training)
        problem = prepared(config, torch.Generator().manual_seed(0), Stopwatch())
        paths.append(folder / f"{name}.problem")
        problem.save(paths[-1])
        print(f"written: {paths[-1]}", flush=True)
    return paths


def rows_of(figures: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The rows of one kind of measurement, each with its molecule and device."""
    return [
        {**{name: row[name] for name in ("molecule", "n_atoms", "device")}, **part}
        for row in figures["rows"]
        for part in (row.get(key, []) if isinstance(row.get(key), list) else [row[key]] if key in row else [])
    ]


WHERE = (
    Column("molecule", figure("molecule")),
    Column("atoms", figure("n_atoms")),
    Column("on", figure("device")),
)


def tables(figures: dict[str, Any]) -> list[Rows]:
    per_step = (Column("kernels a step", figure("launches")), Column("waits a step", figure("waits")))
    return [
        table(
            "Agreement with double precision on the CPU, and whole runs",
            figures["rows"],
            [
                *WHERE,
                Column("energy, kJ/mol", figure("energy_error", ".1e")),
                Column("forces, relative", figure("force_error", ".1e")),
                Column("log q, nats", figure("log_prob_error", ".1e")),
                Column("seconds to ESS 0.5", figure("seconds_to_ess", ".0f")),
                Column("memory, MiB", figure("memory_MiB", ".0f")),
            ],
        ),
        table(
            "Energies with gradients a second",
            rows_of(figures, "energies"),
            [*WHERE, Column("batch", figure("batch")), Column("a second", figure("per_second", ".3g"))],
        ),
        table(
            "Training",
            rows_of(figures, "training"),
            [
                *WHERE,
                Column("stage", figure("stage")),
                Column("batch", figure("batch")),
                Column("samples a second", figure("per_second", ".3g")),
                *per_step,
            ],
        ),
        table(
            "Dynamics",
            rows_of(figures, "dynamics"),
            [
                *WHERE,
                Column("walkers", figure("walkers")),
                Column("walker steps a second", figure("walker_steps_per_second", ".3g")),
                *per_step,
            ],
        ),
    ]


BENCHMARK = Benchmark(
    "gpu",
    "GPU beside CPU",
    "The same problems on a GPU and on the CPU of the same machine (`scripts/benchmarks/gpu.py`).",
    "python scripts/benchmarks/gpu.py --json",
    tables,
)


def main() -> None:
    parser = option_parser(BENCHMARK, __doc__, "one small molecule and short measurements")
    parser.add_argument("problems", type=Path, nargs="*", metavar="PROBLEM", help="files of --prepare")
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="write the problems, and end")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    arguments = parser.parse_args()
    if arguments.prepare is not None:
        prepare(arguments.prepare, arguments.quick)
        return
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device here: give --device cpu to run on the CPU alone")
    run(arguments, device)


def run(arguments: argparse.Namespace, device: torch.device) -> None:
    recorder = Recorder(BENCHMARK, arguments.json, arguments.quick)
    devices = list(dict.fromkeys([device, torch.device("cpu")]))
    figures: dict[str, Any] = {"device": device_facts(device), "rows": []}
    with tempfile.TemporaryDirectory() as scratch:
        for path in arguments.problems or prepare(Path(scratch), arguments.quick):
            for each in devices:
                row = measure(path, each, arguments.quick)
                figures["rows"].append(row)
                recorder.keep(figures)
                if "energies" not in row:
                    print(f"{path.stem} on {each}: the errors are too large, nothing is timed", flush=True)
    BENCHMARK.show(figures)
    if any("energies" not in row for row in figures["rows"]):
        raise SystemExit(1)


def device_facts(device: torch.device) -> dict[str, Any]:
    """The card and what drives it."""
    if device.type != "cuda":
        return {"name": device.type}
    from cuda.bindings import driver, nvrtc

    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name,
        "memory_GiB": round(properties.total_memory / 2**30, 1),
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver_cuda": driver.cuDriverGetVersion()[1],
        "torch_cuda": torch.version.cuda,
        "nvrtc": ".".join(map(str, nvrtc.nvrtcVersion()[1:])),
    }


if __name__ == "__main__":
    main()
