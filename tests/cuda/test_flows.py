"""Layers as CUDA kernels, their text run on the CPU: the numbers and gradients of the definition."""

import math

import pytest
import torch

from boltzgen.codegen import nvrtc
from boltzgen.flows import operators
from boltzgen.flows.cuda import kernels
from boltzgen.flows.cuda.layer_source import layer_source
from boltzgen.flows.cuda.spline_source import spline_source
from boltzgen.flows.splines import circular_spline, linear_tail_spline

from ..flows.test_operators import both, compiler, inputs, layer  # noqa: F401
from .emulation import emulated
from .test_compilation import ARCHITECTURES, usage


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    """CUDA kernels serve tensors on the CPU."""
    monkeypatch.setattr(kernels, "load_module", emulated)
    monkeypatch.setattr(operators, "_kernels", lambda device: kernels)
    monkeypatch.setattr(operators, "_available", lambda dtype, device: True)
    yield
    kernels._splines.cache_clear()
    kernels._layers.cache_clear()


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize("n", [0, 1, 133])
def test_equals_torch_in_every_number(layer, direction, n, both):  # noqa: F811
    """Values, log-determinants, and gradients by inputs and parameters."""
    for found, defined in zip(*both(layer, direction, *inputs(layer, n)), strict=True):
        torch.testing.assert_close(found, defined, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("periodic", [False, True])
def test_edges_bounds_and_beyond(periodic, inverse):
    """Inputs at the knots of equal bins, at the seam, outside, and not finite."""
    bound = math.pi if periodic else 6.0
    ends = torch.linspace(-bound, bound, 9, dtype=torch.float64)
    odd = torch.tensor([-bound - 1e-12, bound + 1e-12, 7.0, math.nan, math.inf, -math.inf])
    x = torch.cat([ends, odd.double()])[:, None]
    raw = torch.zeros(25 if periodic else 23, 1, 1, dtype=torch.float64)
    raw[16:24] = torch.linspace(-2, 2, len(raw[16:24]), dtype=torch.float64)[:, None, None]
    value, log_det = operators.spline(x, raw, torch.arange(1), bound, periodic, inverse, 1)
    defined = circular_spline(x.T, raw, inverse) if periodic else linear_tail_spline(x.T, raw, bound, inverse)
    torch.testing.assert_close(value.sin(), defined[0].T.sin(), rtol=0, atol=1e-11, equal_nan=True)
    torch.testing.assert_close(log_det, defined[1][0], rtol=0, atol=1e-11, equal_nan=True)


@pytest.mark.skipif(
    not nvrtc.can_compile_cuda(), reason="nvidia-cuda-nvrtc or cuda-bindings is not installed"
)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_of_the_usual_layers_compile_without_spills(architecture):
    sources = [layer_source(torch.float32), *(spline_source(torch.float32, 8, p) for p in (True, False))]
    for source in sources:
        for name, (registers, spilled) in usage(source, architecture).items():
            assert spilled == 0, name
            assert registers <= 80, name
    code, _ = nvrtc.compile_source("\n".join(sources[1:2]), "compute_90")
    assert b"atom." not in code
    assert b"red." not in code
