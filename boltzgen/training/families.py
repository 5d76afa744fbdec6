"""Generative models by name: how each is built and how it is trained. A new one is a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import BaseModel

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.model import Internal, Model
from boltzgen.objectives.walkers import Walkers
from boltzgen.training.config import TrainingConfig
from boltzgen.training.recipes import stages
from boltzgen.training.trainer import Stage


@dataclass(frozen=True)
class Materials:
    """What a model may be trained on.

    frames: internal coordinates of thermal frames at the target's temperature. hot_frames: of another domain,
    a higher temperature. walkers: the population that objective "walkers" moves.
    """

    target: BoltzmannTarget
    generator: torch.Generator
    frames: Internal | None = None
    hot_frames: Internal | None = None
    walkers: Walkers | None = None


@dataclass(frozen=True)
class Family:
    """One kind of model.

    config: the schema of its settings. build: a new model in given coordinates. stages: its training on
    ``Materials``. trained_on: "energy", or "frames" where it learns from reference samples alone.
    """

    config: type[BaseModel]
    build: Callable[[MolecularCoordinates, Any], Model]
    stages: Callable[[Any, Materials, TrainingConfig], list[Stage]]
    trained_on: Literal["energy", "frames"]
    settings: Mapping[str, Any] = field(default_factory=dict)


def _flow_stages(model: FlowModel, materials: Materials, config: TrainingConfig) -> list[Stage]:
    return stages(model, materials.target, materials.frames, config, materials.generator, materials.walkers)


FAMILIES: dict[str, Family] = {
    "flow": Family(FlowConfig, FlowModel, _flow_stages, "energy"),
}


def family(name: str) -> Family:
    """The family called ``name``. Raises InputError naming those there are."""
    if name not in FAMILIES:
        raise InputError(f"Model '{name}' is not known; give one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]
