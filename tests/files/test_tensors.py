"""Nested states come back as they were, or are refused."""

import math

import pytest
import torch
from safetensors.torch import load_file

from boltzgen.errors import InputError
from boltzgen.files.tensors import load_tensors, save_tensors

KIND = "boltzgen test 1"


def test_what_is_saved_is_loaded(tmp_path):
    adam = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    adam.param_groups[0]["params"][0].grad = torch.ones(3)
    adam.step()
    content = {
        "adam": adam.state_dict(),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(1.0 / 3.0, dtype=torch.float64),
        "random": torch.get_rng_state(),
        "mask": torch.tensor([True, False]),
        "rows": [(1.0 / 3.0, 2, math.inf), (None, "α", True)],
        "none": {},
    }
    save_tensors(tmp_path / "state", content, KIND)
    found = load_tensors(tmp_path / "state", KIND)
    for name in ("empty", "scalar", "random", "mask"):
        assert found[name].dtype == content[name].dtype
        assert torch.equal(found[name], content[name])
    assert found["rows"] == content["rows"]
    assert found["none"] == {}
    again = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    again.load_state_dict(found["adam"])
    assert torch.equal(again.state_dict()["state"][0]["exp_avg"], content["adam"]["state"][0]["exp_avg"])
    assert "adam/state/0/exp_avg" in load_file(tmp_path / "state")  # another reader finds it


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    x = torch.arange(6.0)
    save_tensors(tmp_path / "state", {"all": x, "half": x[:3], "turned": x.view(2, 3).T}, KIND)
    assert torch.equal(load_tensors(tmp_path / "state", KIND)["turned"], x.view(2, 3).T)


def test_every_flipped_byte_is_noticed(tmp_path):
    path = tmp_path / "state"
    save_tensors(path, {"x": torch.arange(4.0), "note": "a"}, KIND)
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        try:
            found = load_tensors(path, KIND)
        except InputError:
            continue
        # White space that fills the header up, or the name of a field that nobody reads.
        assert torch.equal(found["x"], torch.arange(4.0))
        assert found["note"] == "a"


def test_another_kind_is_refused(tmp_path):
    save_tensors(tmp_path / "state", {}, "boltzgen test 2")
    with pytest.raises(InputError, match="is boltzgen test 2, not a boltzgen test 1"):
        load_tensors(tmp_path / "state", KIND)


def test_what_cannot_be_saved_is_named(tmp_path):
    with pytest.raises(TypeError, match="'a/1' is a set"):
        save_tensors(tmp_path / "state", {"a": [1, {2}]}, KIND)
    assert list(tmp_path.iterdir()) == []
