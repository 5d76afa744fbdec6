"""A trained model in one file that needs nothing but torch and safetensors to read."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowConfig, FlowModel

FORMAT = "boltzgen-flow-1"


def save_model(model: FlowModel, path: Path) -> None:
    """Parameters, coordinates and sizes of ``model`` as one .safetensors file."""
    header = {
        "format": FORMAT,
        "dtype": str(model.coordinates.base.sample(0).dtype).removeprefix("torch."),
        "coordinates": json.dumps(model.coordinates.config()),
        "flow": model.config.model_dump_json(),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, str(path), metadata=header)


def load_model(path: str | Path, device: str = "cpu") -> FlowModel:
    """The model that ``save_model`` wrote. Raises InputError where the file is missing or of another kind."""
    try:
        with safe_open(str(path), framework="pt", device="cpu") as stored:
            header = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a model ({error}); give a model.safetensors.") from error
    if header.get("format") != FORMAT:
        raise InputError(f"{path} is no model of this version; give a model.safetensors of a run.")
    coordinates = MolecularCoordinates.from_config(json.loads(header["coordinates"]))
    model = FlowModel(coordinates, FlowConfig.model_validate_json(header["flow"]))
    model.to(getattr(torch, header["dtype"]))
    model.load_state_dict(tensors)
    return model.to(device)
