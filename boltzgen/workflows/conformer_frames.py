"""Frames within every conformer that replica exchange found, rare ones oftener than they are populated."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.conformers import found_conformers
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import Spent, untimed
from boltzgen.sampling.frames import FramesConfig, ThermalFrames, local_frames, thermal_dynamics


def frames_of_every_conformer(
    target: BoltzmannTarget,
    molecule: Molecule,
    masses: Float[Tensor, " atoms"],
    frames: ThermalFrames,
    config: FramesConfig,
    generator: torch.Generator,
    spent: Spent = untimed,
) -> Float[Tensor, "frames atoms 3"]:
    """Positions (nm) from dynamics within each conformer of ``frames``, with the molecule's stereo.

    A conformer has a share in proportion to the square root of its population: a rare one is seen often
    enough to be learnt, and what short replica exchange has wrong by a factor of four is wrong by two.
    Dynamics ends where ``spent`` says that its time is over.
    """
    x = frames.positions
    energies = target.reduced_energy(x).cpu().numpy()
    conformer = found_conformers(molecule, x.cpu().numpy(), energies).assignment
    weights = torch.from_numpy(1.0 / np.sqrt(np.bincount(conformer)[conformer])).to(x.device)
    starts = x[torch.multinomial(weights, config.walkers, replacement=True, generator=generator)]
    dynamics = thermal_dynamics(target, masses, config.time_step, config.friction)
    local, _ = local_frames(dynamics, starts, config, generator, spent)
    kept = torch.as_tensor(molecule.keeps_stereo(local.cpu().numpy())).to(x.device)
    return local[kept] if bool(kept.any()) else x
