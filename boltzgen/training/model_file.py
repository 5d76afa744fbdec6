"""A trained model in one file that needs nothing but torch and safetensors to read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.errors import InputError
from boltzgen.models.model import Model
from boltzgen.training.families import family

FORMAT = "boltzgen-model-2"


def save_model(model: Model, path: Path, name: str) -> None:
    """Parameters, coordinates and settings of ``model``, of the family ``name``, as one .safetensors file."""
    if not isinstance(model.config, family(name).config):
        raise InputError(f"A {type(model).__name__} is no model '{name}'; give the name that built it.")
    header = {
        "format": FORMAT,
        "dtype": str(model.coordinates.base.sample(0).dtype).removeprefix("torch."),
        "coordinates": json.dumps(model.coordinates.config()),
        "model": name,
        "settings": model.config.model_dump_json(),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata=header)


def load_model(path: str | Path, device: str = "cpu") -> Model:
    """The model that ``save_model`` wrote.

    Raises InputError where the file is missing, of another version, or of a family that is not known here.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a model ({error}); give a model.safetensors.") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{path} is no model of this version; give a model.safetensors of a run.")
    kind = family(header["model"])
    try:
        settings = kind.config.model_validate_json(header["settings"])
    except ValidationError as error:
        raise InputError(f"{path} holds settings that model '{header['model']}' does not know.") from error
    model = kind.build(MolecularCoordinates.from_config(json.loads(header["coordinates"])), settings)
    model.to(getattr(torch, header["dtype"]))
    model.load_state_dict(tensors)
    return model.to(device)
