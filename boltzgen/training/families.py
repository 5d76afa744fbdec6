"""Generative models by name: how each is built and how it is trained. A new one is a line here."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.errors import InputError
from boltzgen.models.autoencoder import Autoencoder, AutoencoderConfig
from boltzgen.models.domain_adversarial import DomainAdversarialConfig, DomainAdversarialModel
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.gan import AdversarialModel, GanConfig, WganConfig, WganGpConfig
from boltzgen.models.model import Internal, Model
from boltzgen.models.vae import VAEConfig, VariationalAutoencoder
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.problem import Problem
from boltzgen.settings import validated
from boltzgen.training.adversarial_recipes import (
    adversarial_figures,
    adversarial_stages,
    domain_adversarial_stages,
    domain_figures,
)
from boltzgen.training.autoencoder_recipes import (
    autoencoder_figures,
    autoencoder_stages,
    vae_energy_stages,
    vae_stages,
)
from boltzgen.training.config import ObjectiveName
from boltzgen.training.data import TrainingData
from boltzgen.training.recipes import StageBuilder, flow_stages, on_frames

Figures = dict[str, float]


def no_figures(model: Any, data: TrainingData) -> Figures:
    """Of a model that has nothing to say beside its samples."""
    return {}


@dataclass(frozen=True)
class Family:
    """One kind of model.

    config: the schema of its settings. build: a new model in given coordinates. stages: its training on
    ``TrainingData``. trained_on: "energy", or "frames" where it learns from reference samples alone. figures:
    what a trained model says of itself, by name with units. objectives: the training objectives by name that
    it knows beside "auto". hot_frames: whether it also learns from frames at a higher temperature.
    """

    config: type[BaseModel]
    build: Callable[[MolecularCoordinates, Any], Model]
    stages: StageBuilder
    trained_on: Literal["energy", "frames"]
    figures: Callable[[Any, TrainingData], Figures] = no_figures
    objectives: tuple[str, ...] = ()
    hot_frames: bool = False


def _likelihood(model: FlowModel, frames: Internal, progress: float, generator: object) -> Any:
    return negative_log_likelihood(model, frames)


FAMILIES: dict[str, Family] = {
    "flow": Family(FlowConfig, FlowModel, flow_stages, "energy", objectives=get_args(ObjectiveName)),
    "flow-likelihood": Family(FlowConfig, FlowModel, on_frames(_likelihood, "likelihood"), "frames"),
    "autoencoder": Family(AutoencoderConfig, Autoencoder, autoencoder_stages, "frames", autoencoder_figures),
    "vae": Family(VAEConfig, VariationalAutoencoder, vae_stages, "frames"),
    "vae-energy": Family(VAEConfig, VariationalAutoencoder, vae_energy_stages, "energy"),
    "gan": Family(GanConfig, AdversarialModel, adversarial_stages, "frames", adversarial_figures),
    "wgan": Family(WganConfig, AdversarialModel, adversarial_stages, "frames", adversarial_figures),
    "wgan-gp": Family(WganGpConfig, AdversarialModel, adversarial_stages, "frames", adversarial_figures),
    "domain-adversarial": Family(
        DomainAdversarialConfig,
        DomainAdversarialModel,
        domain_adversarial_stages,
        "frames",
        domain_figures,
        hot_frames=True,
    ),
}


def family(name: str) -> Family:
    """The family called ``name``. Raises InputError naming those there are."""
    if name not in FAMILIES:
        raise InputError(f"Model '{name}' is not known; give one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def untrained_model(name: str, settings: dict[str, Any], problem: Problem) -> Model:
    """A new model of the family ``name`` for ``problem``, in single precision, on the device of its frames.

    The model has a copy of the problem's coordinates. Its parameters are drawn by torch's global generator.
    Raises InputError for a family or a setting that is not known.
    """
    kind = family(name)
    model = kind.build(copy.deepcopy(problem.coordinates), validated(kind.config, **settings))
    return model.float().to(problem.device)


def require_objective(name: str, objective: str) -> None:
    """Raises InputError where ``objective`` is none that the family ``name`` can be trained with."""
    if objective != "auto" and objective not in family(name).objectives:
        raise InputError(
            f"Objective '{objective}' is none of model '{name}': leave it out or give another model."
        )
