"""NVRTC makes machine code of every kernel for every architecture: no spills, few registers, no atomics.

No GPU is needed for this; where NVRTC's wheel is missing these tests are skipped by name.
"""

import re

import pytest
import torch

from boltzgen.codegen import nvrtc
from boltzgen.energies.backends.cuda_kernels import MOST_WARPS, energy_source
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems import build_system

from ..energies.test_energy import system_of_everything

ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_100", "sm_120"]
REGISTERS = 65536  # of a multiprocessor

pytestmark = pytest.mark.skipif(
    not nvrtc.can_compile_cuda(), reason="the wheels nvidia-cuda-nvrtc and cuda-bindings are not installed"
)


def usage(source: str, architecture: str) -> dict[str, tuple[int, int]]:
    """Registers and bytes of spills of each kernel, as ptxas reports them."""
    _, log = nvrtc.compile_source(source, architecture, "--ptxas-options=-v")
    kernels = re.findall(
        r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
        log,
        re.DOTALL,
    )
    assert len(kernels) == source.count("__global__"), log
    return {name: (int(registers), int(out) + int(back)) for name, out, back, registers in kernels}


def everything(dtype: torch.dtype) -> str:
    terms = compile_system(system_of_everything(), compiled=False).terms.values()
    return energy_source(list(terms), dtype)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_all_forces_in_single_precision(architecture):
    for name, (registers, spilled) in usage(everything(torch.float32), architecture).items():
        assert spilled == 0, name
        assert registers <= 128, name


@pytest.mark.parametrize(
    "architecture", [a if a == "sm_90" else pytest.param(a, marks=pytest.mark.slow) for a in ARCHITECTURES]
)
def test_all_forces_in_double_precision(architecture):
    kernels = usage(everything(torch.float64), architecture)
    for name, (registers, spilled) in kernels.items():
        assert spilled == 0, name
        assert registers <= 255, name
    assert kernels["tiles"][0] * 32 * MOST_WARPS[torch.float64] <= REGISTERS


def test_force_field_with_solvent_uses_few_registers():
    """MMFF94 with OBC2, for which a multiprocessor can hold 20 warps or more."""
    molecule = Molecule.from_smiles("CC(=O)N[C@@H](C)C(=O)NC")
    terms = compile_system(build_system(molecule, "mmff94", "obc2").system, compiled=False).terms.values()
    for name, (registers, spilled) in usage(energy_source(list(terms), torch.float32), "sm_80").items():
        assert spilled == 0, name
        assert registers <= 96, name


def test_there_are_no_atomic_operations():
    code, _ = nvrtc.compile_source(everything(torch.float32), "compute_90")
    assert b".visible .entry tiles" in code
    assert re.findall(rb"\b(?:atom|red)\.\w+", code) == []


SOURCE = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    return tmp_path


def test_machine_code_is_kept_and_found(folder, monkeypatch):
    code = nvrtc.compiled(SOURCE, "sm_80")
    assert code[:4] == b"\x7fELF"
    (kept,) = folder.glob("*.cubin")
    assert kept.read_bytes() == code
    assert kept.stat().st_mode & 0o077 == 0
    assert nvrtc.compiled(SOURCE, "sm_90") != code  # each architecture has its own
    monkeypatch.setattr(nvrtc, "compile_source", None)  # from here on only the disk serves
    assert nvrtc.compiled(SOURCE, "sm_80") == code


@pytest.mark.parametrize("fault", ["damaged", "of others"])
def test_machine_code_that_cannot_be_trusted_is_made_anew(folder, fault):
    code = nvrtc.compiled(SOURCE, "sm_80")
    (kept,) = folder.glob("*.cubin")
    if fault == "damaged":
        kept.write_bytes(code[:-8] + b"intruder")
    else:
        kept.chmod(0o666)
    assert nvrtc.compiled(SOURCE, "sm_80") == code
    (kept,) = folder.glob("*.cubin")
    assert kept.read_bytes() == code
    assert kept.stat().st_mode & 0o077 == 0


def test_a_source_that_does_not_compile_is_told_with_the_compilers_message():
    with pytest.raises(EvaluationError, match=r"sm_80.*undefined"):
        nvrtc.compile_source(SOURCE.replace("x[", "y["), "sm_80")


def test_an_empty_log_does_not_write_over_the_bytes_that_python_shares():
    """NVRTC writes the zero that ends an empty log, where ``b" " * 1`` is the one object of that value."""
    _, log = nvrtc.compile_source(SOURCE, "sm_80")
    assert log == ""
    assert chr(32).encode().decode() == chr(32)
