"""A saved model is the same model, read without RDKit or OpenMM."""

import subprocess
import sys

import pytest
import torch

from boltzgen.coordinates.build import build_coordinates
from boltzgen.errors import InputError
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.molecules.molecule import Molecule
from boltzgen.training.model_file import load_model, save_model

READ_WITH_TORCH_ALONE = """
import sys
for name in ("rdkit", "openmm", "mdtraj"):
    sys.modules[name] = None
import torch
from boltzgen.training.model_file import load_model
with torch.no_grad():
    x, log_q = load_model(sys.argv[1]).sample_with_log_prob(4, torch.Generator().manual_seed(3))
print(float(x.double().square().sum()), float(log_q.double().sum()))
"""


@pytest.fixture
def model() -> FlowModel:
    molecule = Molecule.from_smiles("CC[C@H](O)C")
    seeds = torch.as_tensor(molecule.seed_conformers(8, seed=1)).repeat(40, 1, 1)
    frames = seeds + 0.002 * torch.randn(seeds.shape, generator=torch.Generator().manual_seed(0))
    config = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)
    model = FlowModel(build_coordinates(molecule, frames), config).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def test_loaded_model_samples_and_weighs_as_the_saved_one(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors", "flow")
    loaded = load_model(tmp_path / "model.safetensors")
    x, log_q = model.sample_with_log_prob(50, torch.Generator().manual_seed(2))
    again, again_log_q = loaded.sample_with_log_prob(50, torch.Generator().manual_seed(2))
    assert torch.equal(again, x)
    assert torch.equal(again_log_q, log_q)
    torch.testing.assert_close(loaded.log_prob(x), model.log_prob(x))


def test_a_model_is_read_where_only_torch_is_installed(model, tmp_path):
    save_model(model, tmp_path / "model.safetensors", "flow")
    command = [sys.executable, "-c", READ_WITH_TORCH_ALONE, str(tmp_path / "model.safetensors")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    with torch.no_grad():
        x, log_q = model.sample_with_log_prob(4, torch.Generator().manual_seed(3))
    assert float(printed[0]) == pytest.approx(float(x.double().square().sum()))
    assert float(printed[1]) == pytest.approx(float(log_q.double().sum()))


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("nothing of the kind")
    for name in ("text.safetensors", "missing.safetensors"):
        with pytest.raises(
            InputError, match=rf"{name} cannot be read as a boltzgen model .*model\.safetensors"
        ):
            load_model(tmp_path / name)


@pytest.mark.parametrize("damage", ["flipped byte", "half a file", "not a number"])
def test_a_damaged_model_is_refused(model, tmp_path, damage):
    path = tmp_path / "model.safetensors"
    if damage == "not a number":
        with torch.no_grad():
            next(model.parameters()).view(-1)[0] = torch.nan
    save_model(model, path, "flow")
    content = bytearray(path.read_bytes())
    if damage == "flipped byte":
        content[-1000] ^= 1
    path.write_bytes(content[: len(content) // 2] if damage == "half a file" else content)
    said = {"flipped byte": "checksum", "half a file": "cannot be read", "not a number": "not finite"}
    with pytest.raises(InputError, match=said[damage]):
        load_model(path)
