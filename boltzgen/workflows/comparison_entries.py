"""A comparison as it is asked for, and which models with which frames take part in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from boltzgen.errors import InputError
from boltzgen.evaluation.discrepancy import LEAST_FRAMES
from boltzgen.sampling.frames import FramesConfig
from boltzgen.settings import LARGEST_SEED, validated
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import FAMILIES, family
from boltzgen.workflows.config import SampleConfig, default_budget

LEAST_BUDGET = 30.0
BUDGET_SHARE = 0.4  # of what `boltzgen sample` would take: eleven models and a reference in half an hour

SHARED = (
    "molecule",
    "temperature",
    "forcefield",
    "solvent",
    "release_constraints",
    "seed",
    "device",
    "reference",
    "frames",
)


class CompareConfig(BaseModel):
    """One comparison, whole. ``models``: families by name, none for all.

    budget_seconds: of training, for each model; by default from the size of the molecule. reference: folder
    of an ensemble, or else one of ``reference_picoseconds`` on every rung is made. few_frames: how many
    frames the models have that are to make do with few. model_settings: by family.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    molecule: str
    models: tuple[str, ...] = ()
    n_samples: PositiveInt = 10_000
    temperature: PositiveFloat = Field(default=300.0, allow_inf_nan=False)
    forcefield: str | None = None
    solvent: str | None = None
    release_constraints: bool = False
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    device: str = "auto"
    budget_seconds: PositiveFloat | None = None
    reference: Path | None = None
    reference_picoseconds: PositiveFloat = 200.0
    few_frames: int = Field(default=200, ge=LEAST_FRAMES)
    frames: FramesConfig = FramesConfig()
    training: TrainingConfig = TrainingConfig()
    model_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def preparation(self) -> SampleConfig:
        """What prepares the molecule, once for all models."""
        return validated(
            SampleConfig,
            **{name: getattr(self, name) for name in SHARED},
        )

    def training_of_each(self, n_atoms: int) -> TrainingConfig:
        """Settings of training with the time that each model has."""
        if self.training.max_steps is not None:
            return self.training
        budget = self.budget_seconds or max(LEAST_BUDGET, BUDGET_SHARE * default_budget(n_atoms))
        return self.training.model_copy(update={"budget_seconds": budget})


@dataclass(frozen=True)
class ComparisonEntry:
    """A family with settings of its own; ``n_frames``: at most so many frames to learn from."""

    label: str
    family: str
    settings: dict[str, Any] = field(default_factory=dict)
    n_frames: int | None = None


def comparison_entries(config: CompareConfig) -> list[ComparisonEntry]:
    """Who takes part. Raises InputError naming a model that is not known or named twice, or a bad setting.

    A family that learns from hot frames beside few at the temperature enters twice, with and without its
    adversary, and a VAE with the same few frames and no others enters with it.
    """
    names = config.models or tuple(FAMILIES)
    if len(set(names)) < len(names):
        raise InputError(f"A model is named twice in '{','.join(names)}'; name each once.")
    for name in (*names, *config.model_settings):
        validated(family(name).config, **config.model_settings.get(name, {}))
    found = []
    for name in names:
        settings = config.model_settings.get(name, {})
        if not family(name).hot_frames:
            found.append(ComparisonEntry(name, name, settings))
            continue
        few = config.few_frames
        found += [
            ComparisonEntry(name, name, settings, few),
            ComparisonEntry(f"{name}, no adversary", name, settings | {"adversary": False}, few),
            ComparisonEntry(f"vae, {few} frames", "vae", config.model_settings.get("vae", {}), few),
        ]
    return found
