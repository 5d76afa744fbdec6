"""Placement of atoms by CUDA kernels, their text run on the CPU: positions and gradients equal torch's."""

import pytest
import torch

from boltzgen.codegen import nvrtc
from boltzgen.coordinates import cuda_placement

from ..coordinates.frames import coordinates, samples
from .emulation import emulated
from .test_compilation import ARCHITECTURES, usage

NAMES = ["hydrogen", "water", "carbon-dioxide", "butynenitrile", "alanine-dipeptide", "norbornane"]


@pytest.fixture
def kernels(monkeypatch):
    """A context in which CUDA kernels serve tensors on the CPU, and their launches."""
    launched = []

    def load(source, device):
        module = emulated(source, device)
        launched.append(module)
        return module

    monkeypatch.setattr(cuda_placement, "load_module", load)
    monkeypatch.setattr(cuda_placement, "serves", lambda x: True)
    yield launched
    cuda_placement._module.cache_clear()


def placed(name: str, n: int) -> list[torch.Tensor]:
    """Positions, ln |det|, and gradients of a form of both by the internal coordinates."""
    inputs = [part.requires_grad_() for part in samples(name, n)]
    x, log_det = coordinates(name).to_positions(*inputs)
    weights = torch.linspace(0.5, 2.0, x.shape[1] * 3, dtype=x.dtype).view(-1, 3)
    total = (weights * x.sin()).sum() + log_det.sum()
    return [x, log_det, *torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("n", [0, 1, 70])
@pytest.mark.parametrize("name", NAMES)
def test_equals_torch_in_positions_and_gradients(name, n, request):
    """Diatomics, atoms in line, chains and rings."""
    expected = placed(name, n)
    launched = request.getfixturevalue("kernels")
    for found, defined in zip(placed(name, n), expected, strict=True):
        torch.testing.assert_close(found, defined, rtol=1e-10, atol=1e-12)
    if n:
        assert set(launched[0].launched) == {"place", "place_gradient"}


@pytest.mark.skipif(not nvrtc.can_compile_cuda(), reason="NVRTC or cuda-bindings is not installed")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile_without_spills(architecture):
    source = cuda_placement.placement_source(torch.float32)
    for name, (registers, spilled) in usage(source, architecture).items():
        assert spilled == 0, name
        assert registers <= 96, name
