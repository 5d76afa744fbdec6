"""The command line that repeats a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from boltzgen.workflows.config import SampleConfig

OPTIONS = {
    "n_samples": "-n",
    "temperature": "-T",
    "forcefield": "--forcefield",
    "solvent": "--solvent",
    "device": "--device",
    "seed": "--seed",
    "budget_seconds": "--budget",
    "effective_samples": "--effective",
    "free_energy_error": "--error-free-energy",
    "training.max_steps": "--steps",
    "training.objective": "--objective",
    "model": "--model",
    "reference": "--reference",
    "refine": "--refine",
}
"""Settings that ``boltzgen sample`` has options for; all others are given by ``--set``."""

FLAGS = {"release_constraints": "--release-constraints"}


def sample_command(config: SampleConfig) -> str:
    """The command ``boltzgen sample`` of which ``config`` is the run, quoted for a shell.

    Settings that are at their default are left out.

    Examples
    --------
    >>> sample_command(SampleConfig(molecule="CC(=O)O", n_samples=500, refine_share=0.8))
    "boltzgen sample 'CC(=O)O' -n 500 --set refine_share=0.8"
    """
    usual = SampleConfig(molecule=config.molecule, model=config.model).model_dump(mode="json")
    defaults = dict(_flat(usual)) | {"model": SampleConfig.model_fields["model"].default}
    words = ["boltzgen", "sample", config.molecule]
    for name, value in _flat(config.model_dump(mode="json", exclude_none=True)):
        if name == "molecule" or value == defaults.get(name):
            continue
        if name in FLAGS:
            words.append(FLAGS[name])
        elif name in OPTIONS:
            words += [OPTIONS[name], value if isinstance(value, str) else json.dumps(value)]
        else:
            words += ["--set", f"{name}={json.dumps(value)}"]
    if config.molecule.startswith("-"):
        words = [*words[:2], *words[3:], "--", config.molecule]
    return shlex.join(words)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings within settings by their names with dots."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
