"""Problem: one molecule at one temperature, ready for models that have yet to be built.

It holds the target density, coordinates fitted to frames of dynamics, and these frames. Models are built from
it and judged by it. A saved problem is read back with torch alone: RDKit and OpenMM are needed only by
what asks for the molecule itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from pydantic import ValidationError
from torch import Tensor

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.energies.energy import Energy
from boltzgen.energies.storage import term_from_file, term_state
from boltzgen.energies.symmetry import EnergySymmetry
from boltzgen.energies.target import BoltzmannTarget, EvaluationCounter
from boltzgen.errors import InputError
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.sampling.frames import FramesConfig, ThermalFrames

if TYPE_CHECKING:
    from boltzgen.molecules.molecule import Molecule
    from boltzgen.systems import MolecularSystem

KIND = "boltzgen problem 4"


@dataclass(frozen=True, eq=False)
class ProblemFrames:
    """Frames of dynamics on the target's energy, positions in nm.

    Attributes
    ----------
    config
        Size of the replica exchange that was made: what was asked for, or what the budget allowed.
    thermal
        Frames at the target's temperature, about as populated as they should be, and frames of all
        temperatures of the replica exchange.
    within_conformers
        Frames [m, atoms, 3] of dynamics within each conformer that ``thermal`` shows, to which the
        coordinates are fitted. Rare conformers have a larger share than they are populated.
    within_conformers_energies
        Their reduced energies U/kT, [m].
    """

    config: FramesConfig
    thermal: ThermalFrames
    within_conformers: Float[Tensor, "frames atoms 3"]
    within_conformers_energies: Float[Tensor, " frames"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What every model of a molecule starts from; ``workflows.preparation.prepare`` makes one.

    Attributes
    ----------
    source
        The molecular system, or the same as text where the problem was loaded; see ``system``.
    target
        The Boltzmann density exp(−U/kT), and the count of its evaluations.
    masses
        [atoms] in dalton.
    coordinates
        Coordinates fitted to the frames, in single precision on the frames' device. Each model takes a copy.
    frames
        Frames of dynamics on the target's energy.
    symmetry
        Which equivalent atoms the energy distinguishes; exchanges of these are not folded.
    """

    source: MolecularSystem | Mapping[str, str]
    target: BoltzmannTarget
    masses: Float[Tensor, " atoms"]
    coordinates: MolecularCoordinates
    frames: ProblemFrames
    symmetry: EnergySymmetry

    @cached_property
    def system(self) -> MolecularSystem:
        """The molecule and its ``openmm.System``; needs RDKit and OpenMM where the problem was loaded."""
        if not isinstance(self.source, Mapping):
            return self.source
        from boltzgen.systems import MolecularSystem

        return MolecularSystem.from_text(self.source)

    @property
    def molecule(self) -> Molecule:
        """The molecule; needs RDKit and OpenMM where the problem was loaded."""
        return self.system.molecule

    @property
    def device(self) -> torch.device:
        """Where the frames are, and models are to be."""
        return self.frames.thermal.positions.device

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file that ``load`` reads with torch alone; whole or not at all."""
        thermal = self.frames.thermal
        content = {
            "source": dict(self.source if isinstance(self.source, Mapping) else self.source.to_text()),
            "temperature_K": self.target.temperature,
            "n_atoms": self.target.n_atoms,
            "terms": [term_state(term) for term in self.target.energy.terms.values()],
            "evaluations": self.target.evaluations,
            "masses": self.masses.cpu(),
            "coordinates": self.coordinates.config(),
            "coordinates_state": {key: value.cpu() for key, value in self.coordinates.state_dict().items()},
            "frames_config": self.frames.config.model_dump(),
            "thermal": {
                "positions": thermal.positions.cpu(),
                "ladder": thermal.ladder.cpu(),
                "tempered": thermal.tempered.cpu(),
                "replaced": thermal.replaced,
                "frames_a_ladder": thermal.frames_a_ladder,
            },
            "within_conformers": self.frames.within_conformers.cpu(),
            "within_conformers_energies": self.frames.within_conformers_energies.cpu(),
            "symmetry": asdict(self.symmetry),
        }
        save_tensors(Path(path), content, KIND)

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Problem:
        """The problem saved in ``path``, its frames and coordinates on ``device``.

        No code of the file's author is run. Raises InputError where the file is no problem, or damaged.
        """
        content = load_tensors(Path(path), KIND)
        try:
            return _restored(content, path, device)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValidationError) as error:
            reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            raise InputError(f"{path} is a damaged problem ({reason}): prepare it again.") from error


def _restored(content: dict[str, Any], path: str | os.PathLike[str], device: str | torch.device) -> Problem:
    """The problem that ``content`` of the file ``path`` describes."""
    terms = [term_from_file(state, path) for state in content["terms"]]
    counter = EvaluationCounter()
    counter.count = int(content["evaluations"])
    target = BoltzmannTarget(Energy(content["n_atoms"], terms), content["temperature_K"], counter)
    coordinates = MolecularCoordinates.from_config(content["coordinates"]).float()
    coordinates.load_state_dict(content["coordinates_state"])
    thermal = dict(content["thermal"])
    for name in ("positions", "ladder", "tempered"):
        thermal[name] = thermal[name].to(device)
    frames = ProblemFrames(
        FramesConfig(**content["frames_config"]),
        ThermalFrames(**thermal),
        content["within_conformers"].to(device),
        content["within_conformers_energies"].to(device),
    )
    symmetry = EnergySymmetry(**content["symmetry"])
    masses = content["masses"].to(device)
    return Problem(content["source"], target, masses, coordinates.to(device), frames, symmetry)
