"""One run of `boltzgen sample`, whole, as Python, the command line and TOML files describe it."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationInfo, field_validator

from boltzgen.errors import InputError
from boltzgen.files.given import read_text
from boltzgen.files.names import INPUT
from boltzgen.memory import usable_bytes
from boltzgen.quantities import Kelvin, PositiveKcalPerMole, Seconds
from boltzgen.sampling.frames import FramesConfig
from boltzgen.settings import HIGHEST_TEMPERATURE, LARGEST_SEED, no_such_setting, validated
from boltzgen.training.config import TrainingConfig
from boltzgen.training.families import family, require_objective
from boltzgen.units import KJ_PER_KCAL, thermal_energy

MOST_MEGABYTES = 0.1  # of a configuration
MOST_SHARE = 0.95  # of samples that can be effective

SHORT_NAMES = {
    "n": "n_samples",
    "budget": "budget_seconds",
    "objective": "training.objective",
    "max_steps": "training.max_steps",
    "effective": "effective_samples",
}
"""Settings as Python's ``sample`` and the command line call them, and where ``SampleConfig`` has them."""


SAMPLE_BYTES, ATOM_BYTES = 200, 48  # of a sample while it is drawn, weighed and written: measured
MEMORY_SHARE = 0.6  # of the machine's, for samples
WRITING_SECONDS = 2.0  # at most, after the samples: verdict and files


class SampleConfig(BaseModel):
    """One run, whole: what ``config.toml`` of its folder holds.

    ``model``: a family of ``training/families.py``, with ``model_settings`` as its schema has them.
    ``reference``: the folder of an ensemble that a model which learns from frames is trained on. ``refine``:
    a flow's samples of which less than ``refine_share`` are effective are refined in what is left of the
    budget. ``effective_samples``: how many of the ``n_samples`` are to be effective, by default the share
    ``refine_share``. ``free_energy_error``: standard error of the free energy in kcal/mol that is to be
    reached. Both decide when training stops, and how many proposals are drawn; the budget is a ceiling.
    ``start_from``: the force field that a flow is trained on first, "none", or "auto": MMFF94 where the own
    energy is computed by a program (see ``workflows/levels.py``).
    ``answer``: "model" gives the model's samples whatever they are worth; "auto" gives the run's own replica
    exchange, alone or together with the samples, where the model fails and that is sound.
    """

    # Settings of models begin with "model_", which pydantic would keep for itself.
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    molecule: str
    n_samples: int = 10_000
    temperature: Kelvin = 300.0
    forcefield: str | None = None
    solvent: str | None = None
    release_constraints: bool = False
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    budget_seconds: Seconds | None = None
    device: str = "auto"
    reference: Path | None = None
    refine: Literal["auto", "off"] = "auto"
    answer: Literal["auto", "model"] = "auto"
    refine_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    effective_samples: PositiveInt | None = None
    free_energy_error: PositiveKcalPerMole | None = None
    start_from: str = "auto"
    frames: FramesConfig = FramesConfig()
    model: str = "flow"
    model_settings: dict[str, Any] = Field(default_factory=dict, validate_default=True)
    training: TrainingConfig = TrainingConfig()

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        family(model)
        return model

    @field_validator("model_settings")
    @classmethod
    def _whole_settings(cls, settings: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """All settings of the model, defaults included; those that are None are left out."""
        if "model" not in info.data:
            return settings  # the model itself is refused
        return validated(family(info.data["model"]).config, **settings).model_dump(exclude_none=True)


def default_budget(n_atoms: int) -> float:
    """Wall seconds for a whole run on two cores: 30 s for the smallest molecules, at most half an hour."""
    return min(max(30.0, 50.0 + 22.0 * (n_atoms - 14)), 1800.0)


def whole_budget(config: SampleConfig, n_atoms: int) -> float:
    """Wall seconds for the run: as asked for, or by the size of the molecule."""
    return config.budget_seconds or default_budget(n_atoms)


def ends_by_time(config: SampleConfig) -> bool:
    """Whether training ends by time: with a number of steps a run is to come out the same each time."""
    return config.training.max_steps is None


def wanted_share(config: SampleConfig) -> float:
    """Share of the samples that is to be effective."""
    if config.effective_samples is None:
        return config.refine_share
    return config.effective_samples / config.n_samples


def wanted_effective_samples(config: SampleConfig) -> float:
    """Effective samples that the proposals together are to be worth.

    The standard error of ln Z is about 1/√n for n effective ones.
    """
    wanted = wanted_share(config) * config.n_samples
    if config.free_energy_error is None:
        return wanted
    error = config.free_energy_error * KJ_PER_KCAL / thermal_energy(config.temperature)
    return max(wanted, error**-2)


def config_toml(config: SampleConfig) -> str:
    """``config`` as TOML; settings that are None are left out, as TOML has no such value."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def read_config(path: str | Path) -> SampleConfig:
    """The run that a TOML file describes, its input.json being the one beside it.

    Raises InputError naming what is wrong with it.
    """
    try:
        settings = tomllib.loads(read_text(path, MOST_MEGABYTES))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    except RecursionError as error:
        raise InputError(f"{path} is not a configuration: its values are nested too deeply.") from error
    if settings.get("molecule") == INPUT:
        settings["molecule"] = str(Path(path).parent / INPUT)
    return validated(SampleConfig, **settings)


def sample_config(settings: Mapping[str, Any]) -> SampleConfig:
    """The run that ``settings`` describe, as Python, the command line and ``--set`` give them.

    Names are those of ``SampleConfig``, with a dot before settings within settings
    (``training.batch_size``), or the short ones of ``SHORT_NAMES``. A setting that is None is left at its
    default, and of two for one setting the later counts.

    Raises
    ------
    InputError
        For a setting that is not known or cannot be used.
    """
    nested: dict[str, Any] = {}
    # Whole tables come first, so that single settings go into them.
    whole = {name: SHORT_NAMES.get(name, name) for name in settings}
    for name in sorted(settings, key=lambda name: whole[name].count(".")):
        value = settings[name]
        if value is None:
            continue
        *tables, last = whole[name].split(".")
        inner = nested
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise InputError(f"'{name}' cannot be set: '{table}' is no table of settings.")
        if not tables and last not in SampleConfig.model_fields:
            known = [*SampleConfig.model_fields, *SHORT_NAMES]
            raise InputError(f"'{name}' cannot be {value!r}: {no_such_setting(name, known)}")
        if isinstance(value, BaseModel):
            value = value.model_dump(exclude_unset=True)
        inner[last] = dict(value) if isinstance(value, Mapping) else value
    return validated(SampleConfig, **nested)


def assignment(text: str) -> tuple[str, Any]:
    """Name and value of ``NAME=VALUE``; the value as TOML has it, or else the text as it is."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(f"'{text}' sets nothing; write NAME=VALUE, like training.batch_size=256.")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def require_room(n_samples: int, n_atoms: int, usable: int | None = None) -> None:
    """Raises InputError where so many samples do not fit the ``usable`` bytes of memory, by default all."""
    usable = usable_bytes() if usable is None else usable
    each = SAMPLE_BYTES + ATOM_BYTES * n_atoms
    if usable is not None and n_samples * each > MEMORY_SHARE * usable:
        raise InputError(
            f"{n_samples} samples of {n_atoms} atoms need about {n_samples * each / 1e9:.3g} GB of memory;"
            f" give at most {int(MEMORY_SHARE * usable / each)}."
        )


def require_sane(config: SampleConfig) -> None:
    """Raises InputError for numbers that no run can have, and for settings that do not go together."""
    require_objective(config.model, config.training.objective)
    if config.reference is not None and family(config.model).trained_on == "energy":
        raise InputError(
            f"Model '{config.model}' learns from the energy alone, without {config.reference}: leave the"
            " reference out or give a model that learns from frames."
        )
    if wanted_share(config) > MOST_SHARE:
        raise InputError(
            f"{config.effective_samples} effective of {config.n_samples} samples cannot be had: give"
            f" -n {math.ceil(2 * (config.effective_samples or 0))} or more samples."
        )
    if config.n_samples < 1:
        raise InputError(f"{config.n_samples} samples were asked for; give a positive number.")
    if not 0.0 < config.temperature <= HIGHEST_TEMPERATURE:
        raise InputError(
            f"The temperature is {config.temperature} K; give a positive one of at most"
            f" {HIGHEST_TEMPERATURE:g} K."
        )
    if config.budget_seconds is not None and not config.budget_seconds > 0:
        raise InputError(f"The budget is {config.budget_seconds} s; give a positive time.")
