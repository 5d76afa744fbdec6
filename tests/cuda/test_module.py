"""Kernels through the driver's interface, with a driver that runs them on the CPU."""

import ctypes
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from boltzgen.codegen import cuda_module, nvrtc
from boltzgen.codegen.cuda_module import CudaModule
from boltzgen.energies.backends.cuda_backend import CudaEnergy
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError

from ..energies import forces
from ..energies.oracle import batch_last
from ..energies.test_forces import positions
from .emulation import H100, EmulatedModule

driver = pytest.importorskip("cuda.bindings.driver", reason="the wheel cuda-bindings is not installed")
DEVICE, STREAM = torch.device("cuda", 1), 4711


class Driver:
    """The driver's functions that modules call; kernels run at once, on the CPU."""

    CUdevice_attribute, CUfunction_attribute = driver.CUdevice_attribute, driver.CUfunction_attribute

    def __init__(self):
        self.source, self.fails, self.launches, self.set = "", False, [], {}

    def cuModuleLoadData(self, code):
        assert code == b"cubin of " + self.source.encode() + b" for sm_90"
        return 0, EmulatedModule(self.source)

    def cuModuleGetFunction(self, module, name):
        return 0, (module, name.decode())

    def cuCtxGetDevice(self):
        return 0, DEVICE.index

    def cuDeviceGetAttribute(self, which, device):
        assert device == DEVICE.index
        names = self.CUdevice_attribute
        return 0, {
            names.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: H100.processors,
            names.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: H100.shared_per_block,
            names.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: H100.shared_per_processor,
        }[which]

    def cuFuncGetAttribute(self, which, function):
        return 0, 16

    def cuFuncSetAttribute(self, function, which, value):
        self.set[function[1]] = value
        return (0,)

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, arguments, extra):
        assert (gy, gz, bz, extra) == (1, 1, 1, 0)
        if self.fails:
            return (1,)
        module, name = function
        self.launches.append((name, stream))
        module.run(name, ctypes.cast(arguments, ctypes.POINTER(ctypes.c_void_p)), gx, (bx, by))
        return (0,)

    def cuGetErrorString(self, status):
        return 0, b"out of luck"


@pytest.fixture
def fake(monkeypatch):
    """A second device, of compute capability 9.0, which is current only while it is asked to be."""
    fake, current = Driver(), [0]

    @contextmanager
    def device(which):
        before, current[0] = current[0], which.index
        try:
            yield
        finally:
            current[0] = before

    def stream(which):
        assert current[0] == which.index
        return SimpleNamespace(cuda_stream=STREAM)

    monkeypatch.setattr("cuda.bindings.driver", fake)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda which: (9, 0))
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    monkeypatch.setattr(cuda_module, "compiled", lambda s, a: f"cubin of {s} for {a}".encode())
    fake.current = current
    return fake


def energy_on(fake):
    def load(source, device):
        fake.source = source
        return CudaModule(source, DEVICE)

    system = forces.system_with(forces.gbsa_obc)
    energy = compile_system(system, compiled=False)
    made = CudaEnergy(
        list(energy.terms.values()), system.getNumParticles(), torch.float64, torch.device("cpu"), load
    )
    return energy, made


def test_kernels_are_launched_on_torchs_stream_of_their_device(fake):
    energy, on_device = energy_on(fake)
    x = batch_last(positions(40))
    for found, expected in zip(on_device(x), energy.energy_and_gradient(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert fake.launches == [("tiles", STREAM)]
    assert fake.set == {"tiles": H100.shared_per_block - 16}  # larger blocks than 48 kB need to be asked for
    assert fake.current == [0]  # the device is as it was before


def test_a_launch_that_fails_is_told(fake):
    _, on_device = energy_on(fake)
    fake.fails = True
    with pytest.raises(EvaluationError, match=r"cuLaunchKernel failed on cuda:1: out of luck"):
        on_device(batch_last(positions(2)))
    assert fake.current == [0]


def test_missing_nvrtc_is_told(monkeypatch):
    monkeypatch.setattr(nvrtc, "_library", lambda: None)
    assert not nvrtc.can_compile_cuda()
    with pytest.raises(EvaluationError, match="nvidia-cuda-nvrtc"):
        nvrtc.compiled("", "sm_90")
