"""The systems known by name: folders with a ``system.toml`` and a structure, shipped with the package."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from boltzgen.errors import InputError

FOLDERS = (Path(__file__).parents[1] / "_systems", Path(__file__).parents[2] / "systems")


class SystemDescription(BaseModel):
    """What a ``system.toml`` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    source: str
    reference: str
    structure: str
    forcefield: str
    solvent: str
    kind: Literal["benchmark", "large", "toy"]


def system_names() -> list[str]:
    """The names of the systems shipped with the package."""
    return sorted({path.parent.name for root in FOLDERS for path in root.glob("*/system.toml")})


def system_folder(name: str) -> Path | None:
    """The folder of a shipped system, None where ``name`` is none."""
    if name not in system_names():
        return None
    return next(root / name for root in FOLDERS if (root / name / "system.toml").is_file())


def describe_system(name: str) -> SystemDescription:
    """The ``system.toml`` of a shipped system. Raises InputError for an unknown name."""
    folder = system_folder(name)
    if folder is None:
        raise InputError(f"Unknown system '{name}': give one of {', '.join(system_names())}.")
    return SystemDescription.model_validate(tomllib.loads((folder / "system.toml").read_text()))


def near_names(text: str) -> list[str]:
    """The names of shipped systems that ``text`` may have been meant to be, the nearest first.

    Examples
    --------
    >>> near_names("Chignoline")
    ['chignolin']
    """
    return get_close_matches(text.lower(), system_names(), n=2, cutoff=0.75)
