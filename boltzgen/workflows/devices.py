"""Which device a run is on: a GPU only where it computes what the CPU computes, and sooner."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from boltzgen.energies.energy import Energy
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import EvaluationError, InputError
from boltzgen.objectives.reverse_kl import reverse_kl
from boltzgen.threads import given_threads

if TYPE_CHECKING:
    from boltzgen.models.flow import FlowModel
    from boltzgen.models.model import GenerativeModel

JUDGED = 64  # conformers
MOST_ENERGY_ERROR, MOST_FORCE_ERROR, MOST_LOG_PROB_ERROR = 0.05, 1e-4, 0.05  # kJ/mol, relative, nats
TIMED_BATCH, TIMED_STEPS = 1024, 3
MOST_PROCESSES = 8  # that train on the CPU by default


@dataclass(frozen=True)
class Differences:
    """The largest differences of a device's single precision from double precision on the CPU.

    energy: kJ/mol. force: relative to the norm of a conformer's forces. log_prob: nats.
    """

    energy: float
    force: float
    log_prob: float

    @property
    def are_small(self) -> bool:
        """Whether they are those of rounding; false where one is not a number."""
        return (
            self.energy <= MOST_ENERGY_ERROR
            and self.force <= MOST_FORCE_ERROR
            and self.log_prob <= MOST_LOG_PROB_ERROR
        )


@torch.no_grad()
def differences(model: GenerativeModel, energy: Energy, x: Tensor) -> Differences:
    """Of energies at ``x`` [3, atoms, batch] (nm, float32), and of log q of samples, both on x's device."""
    value, gradient = (result.double().cpu() for result in energy.energy_and_gradient(x))
    exact, slope = energy.energy_and_gradient(x.double().cpu())
    generator = torch.Generator(x.device).manual_seed(0)
    positions, log_prob = model.sample_with_log_prob(x.shape[2], generator)
    expected = copy.deepcopy(model).double().cpu().log_prob(positions.double().cpu())
    return Differences(
        float((value - exact).abs().max()),
        float(((gradient - slope).norm(dim=(0, 1)) / slope.norm(dim=(0, 1))).max()),
        float((log_prob.double().cpu() - expected).abs().max()),
    )


def select_device(name: str, warn: Callable[[str], None] = lambda sentence: None) -> str:
    """The device a person names.

    "auto" is the GPU that torch sees first (``CUDA_VISIBLE_DEVICES`` chooses) where a check of some seconds
    finds nothing against it, else the CPU; ``warn`` is told what was found. Raises InputError for a device
    that cannot be used.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        reason = reason_against(torch.device("cuda"))
        if reason is not None:
            warn(f"The GPU is not used: {reason}.")
        return "cuda" if reason is None else "cpu"
    usable = name == "cpu" or name.split(":")[0] == "cuda"
    try:
        torch.empty(0, device=name if usable else "nowhere")
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"Device '{name}' cannot be used here; give auto, cpu or cuda.") from error
    return name


@cache
def reason_against(device: torch.device) -> str | None:
    """Why runs should not be on ``device``; None where it is as right as the CPU, and sooner."""
    try:
        model, energy, x = _checked_system()
        found = differences(copy.deepcopy(model).to(device), energy, x.to(device))
        if not found.are_small:
            return (
                f"energies differ from the CPU's by {found.energy:.2g} kJ/mol, forces by {found.force:.1g} of"
                f" their size and log densities by {found.log_prob:.2g} nats"
            )
        there, here = (_step_seconds(model, energy, each) for each in (device, torch.device("cpu")))
    except (RuntimeError, EvaluationError) as error:
        return f"it failed ({(str(error).splitlines() or [type(error).__name__])[0]})"
    processes = min(MOST_PROCESSES, given_threads())
    if there * processes > here:
        return (
            f"a step of {TIMED_BATCH} samples takes {1e3 * there:.0f} ms there and {1e3 * here:.0f} ms on the"
            f" CPU, which trains in {processes} processes"
        )
    return None


def _checked_system() -> tuple[FlowModel, Energy, Tensor]:
    """Alanine dipeptide in MMFF94 with OBC2: a flow that is not the identity, its energy, and conformers."""
    import numpy as np

    from boltzgen.coordinates.build import build_coordinates
    from boltzgen.energies.compiler import compile_system
    from boltzgen.models.flow import FlowConfig, FlowModel
    from boltzgen.molecules.molecule import Molecule
    from boltzgen.systems import build_system

    molecule = Molecule.from_smiles("CC(=O)N[C@@H](C)C(=O)NC")
    rng = np.random.default_rng(0)
    seeds = molecule.seed_conformers(8, seed=0)
    frames = seeds[np.arange(JUDGED) % len(seeds)]
    frames = frames + 0.002 * rng.normal(size=frames.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FlowModel(build_coordinates(molecule, frames), FlowConfig())
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
    energy = compile_system(build_system(molecule, "mmff94", "obc2").system)
    return model.float(), energy, torch.as_tensor(frames).float().permute(2, 1, 0).contiguous()


def _step_seconds(model: FlowModel, energy: Energy, device: torch.device) -> float:
    """Wall seconds of a step of reverse KL, without the first, which compiles."""
    there = copy.deepcopy(model).to(device)
    target, generator = BoltzmannTarget(energy, 300.0), torch.Generator(device).manual_seed(0)

    def steps(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            loss, _ = reverse_kl(there, target, TIMED_BATCH, generator)
            loss.backward()
        float(loss.detach())  # waits for the device
        return (time.perf_counter() - began) / n

    steps(1)
    return steps(TIMED_STEPS)
