"""One thermodynamic state with a trained model of it: what the folder of a finished run holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.ensemble import Ensemble
from boltzgen.ensemble_folder import CONFIG, MODEL
from boltzgen.errors import InputError
from boltzgen.forcefields.parametrise import is_program
from boltzgen.models.model import GenerativeModel
from boltzgen.systems import MolecularSystem, load_system
from boltzgen.training.model_file import load_model
from boltzgen.workflows.config import SampleConfig, read_config
from boltzgen.workflows.devices import select_device

CHUNK = 4096


@dataclass(frozen=True, eq=False)
class TrainedState:
    """A molecule, its energy at a temperature, and a model with an exact density that was trained on it.

    ``ensemble``: what the run that trained the model ended with.
    """

    config: SampleConfig
    system: MolecularSystem
    target: BoltzmannTarget
    model: GenerativeModel
    ensemble: Ensemble

    @classmethod
    def of_folder(cls, folder: Path) -> TrainedState:
        """The state that a finished run left in ``folder``.

        Raises InputError where there is none, or its model has no exact density.
        """
        config = read_config(folder / CONFIG)
        device = select_device(config.device)
        model = load_model(folder / MODEL, device)
        if not isinstance(model, GenerativeModel):
            raise InputError(
                f"Model '{config.model}' in {folder} has no exact density, which a free energy needs: train"
                " model 'flow'."
            )
        system = load_system(config.molecule, config.forcefield, config.solvent, config.release_constraints)
        target = BoltzmannTarget(compile_system(system.system), config.temperature)
        return cls(config, system, target, model, Ensemble.load(folder))

    @property
    def is_costly(self) -> bool:
        """Whether energies are those of a program, too slow for replica exchange."""
        return is_program(self.system.forcefield.lower())

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def log_prob(self, x: Float[Tensor, "n atoms 3"]) -> Float[Tensor, " n"]:
        """ln q of positions (nm), float64 on the CPU; −inf where the model has no density."""
        parts = [self.model.log_prob(chunk.to(self.device)).double().cpu() for chunk in x.split(CHUNK)]
        return torch.nan_to_num(torch.cat(parts), nan=-torch.inf)

    @torch.no_grad()
    def reduced_energy(self, x: Float[Tensor, "n atoms 3"]) -> Float[Tensor, " n"]:
        """U/kT of positions (nm), float64 on the CPU; +inf for labels out of order and other stereo."""
        parts = []
        for chunk in x.split(CHUNK):
            chunk = chunk.to(self.device)
            inside = self.model.coordinates.contains(chunk)
            u = torch.where(inside, self.target.reduced_energy(chunk), torch.inf)
            parts.append(u.double().cpu())
        return torch.nan_to_num(torch.cat(parts), nan=torch.inf)
