"""A trained model in one file that needs nothing but torch and safetensors to read."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.errors import InputError
from boltzgen.files.tensors import load_tensors, save_tensors
from boltzgen.models.model import Model
from boltzgen.training.families import family

KIND = "boltzgen model 3"


def save_model(model: Model, path: Path, name: str) -> None:
    """Write ``model``, of the family ``name``, to ``path``: parameters, coordinates and settings.

    Raises InputError where the model is of another family, OSError where the file cannot be written.
    """
    if not isinstance(model.config, family(name).config):
        raise InputError(f"A {type(model).__name__} is no model '{name}'; give the name that built it.")
    content = {
        "model": name,
        "settings": model.config.model_dump_json(),
        "dtype": str(model.coordinates.base.sample(0).dtype).removeprefix("torch."),
        "coordinates": model.coordinates.config(),
        "state": dict(model.state_dict()),
    }
    save_tensors(path, content, KIND)


def load_model(path: str | Path, device: str = "cpu") -> Model:
    """The model that ``save_model`` wrote.

    Raises InputError where the file is missing, damaged or of another version, where its parameters are not
    finite, and where its family is not known here.
    """
    try:
        content = load_tensors(Path(path), KIND)
    except InputError as error:
        raise InputError(f"{error} A run writes its model to model.safetensors.") from error
    kind = family(content["model"])
    try:
        settings = kind.config.model_validate_json(content["settings"])
    except ValidationError as error:
        raise InputError(f"{path} holds settings that model '{content['model']}' does not know.") from error
    model = kind.build(MolecularCoordinates.from_config(content["coordinates"]), settings)
    model.to(getattr(torch, content["dtype"]))
    try:
        model.load_state_dict(content["state"])
    except RuntimeError as error:
        raise InputError(
            f"{path} is of another version of model '{content['model']}': train again."
        ) from error
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise InputError(f"{path} holds parameters that are not finite ({name}): train again.")
    return model.to(device)
