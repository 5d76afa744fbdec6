"""Energies as CUDA kernels, their text run on the CPU: every force equals OpenMM, and the CPU's kernels."""

import ctypes
import math
import mmap
import sys

import pytest
import torch

from boltzgen.codegen.cuda_module import Limits
from boltzgen.energies.backends import cuda_backend
from boltzgen.energies.backends.cuda_backend import CudaBackend, CudaEnergy, choose_warps
from boltzgen.energies.backends.cuda_kernels import COLUMN_BLOCK, energy_source, tile_bytes
from boltzgen.energies.compiler import compile_system
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.molecules.molecule import Molecule

from ..energies import forces
from ..energies.oracle import assert_equal_to_openmm, batch_last
from ..energies.test_energy import system_of_everything
from ..energies.test_forces import INTERPOLATING, positions
from .emulation import H100, EmulatedModule, emulated

CPU = torch.device("cpu")


def cuda_energy(system, dtype=torch.float64, load=emulated):
    terms = list(compile_system(system, compiled=False).terms.values())
    return CudaEnergy(terms, system.getNumParticles(), dtype, CPU, load)


class WithGradient:
    """A kernel under the name by which the comparison with OpenMM calls an energy."""

    def __init__(self, evaluate):
        self.energy_and_gradient = evaluate


@pytest.fixture
def columns(monkeypatch):
    """Every batch is large enough for a thread a conformation."""
    monkeypatch.setattr(cuda_backend, "_COLUMNS_FROM", 1)


@pytest.mark.parametrize("make", forces.FORCES, ids=lambda make: make.__name__)
def test_force_equals_openmm(make, monkeypatch):
    """With conformations divided among warps, and with a thread for each."""
    system = forces.system_with(make)
    evaluate = WithGradient(cuda_energy(system))
    tolerance = 1e-7 if make.__name__.startswith(INTERPOLATING) else 1e-9
    assert_equal_to_openmm(evaluate, system, positions(), tolerance)
    monkeypatch.setattr(cuda_backend, "_COLUMNS_FROM", 1)
    assert_equal_to_openmm(evaluate, system, positions(), tolerance)


def test_sum_of_all_forces_equals_that_of_the_cpus_kernels():
    """In a batch that leaves lanes over, to the rounding of single precision."""
    system = system_of_everything()
    x = batch_last(positions(70), torch.float32)
    energy, gradient = cuda_energy(system, torch.float32)(x)
    expected, slope = compile_system(system, compiled=True).energy_and_gradient(x)
    unit = 100 * torch.finfo(torch.float32).eps
    scale = slope.abs().amax((0, 1))
    assert float(((energy - expected).abs() / (expected.abs() + scale)).max()) < unit
    assert float(((gradient - slope).abs().amax((0, 1)) / scale).max()) < 10 * unit


def test_result_does_not_depend_on_the_order_of_threads():
    """To the bit, for any number of warps: no barrier is missing, and nothing is added twice at once."""
    system = system_of_everything()
    x = batch_last(positions(33), torch.float32)
    limits = Limits(132, 10**6, 10**7)
    results = []
    for backwards in (False, True):
        module = EmulatedModule(source_of(system, torch.float32), limits, backwards)
        results.append(cuda_energy(system, torch.float32, lambda *_, module=module: module)(x))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("chosen", ["tiles", "columns"])
def test_what_is_not_finite_has_infinite_energy_and_no_gradient(chosen, request):
    if chosen == "columns":
        request.getfixturevalue("columns")
    x = batch_last(positions(5))
    x[0, 2, 0], x[1, 5, 1] = math.nan, math.inf
    x[:, 1, 2] = x[:, 4, 2]  # coincident atoms
    energy, gradient = cuda_energy(forces.system_with(forces.nonbonded))(x)
    expected, slope = compile_system(forces.system_with(forces.nonbonded)).energy_and_gradient(x)
    assert torch.isinf(energy).tolist() == torch.isinf(expected).tolist() == [True, True, True, False, False]
    assert bool((gradient[:, :, :3] == 0).all())
    torch.testing.assert_close(gradient, slope)


def test_numbers_that_single_precision_cannot_hold_are_not_finite():
    system = forces.system_with(forces.nonbonded)
    x = batch_last(positions(2), torch.float32)
    x[:, 1, 0] = x[:, 4, 0] + 1e-5
    energy, gradient = cuda_energy(system, torch.float32)(x)
    assert torch.isinf(energy).tolist() == [True, False]
    assert bool((gradient[:, :, 0] == 0).all())


def test_a_molecule_that_no_tile_holds_is_evaluated_by_columns():
    """MMFF94 of a real molecule, on a card with little shared memory."""
    molecule = Molecule.from_smiles("C[C@H](N)C(=O)NCC1CC1")
    system = mmff_system(molecule)
    small = EmulatedModule(source_of(system), Limits(10, 9000, 9000))
    assert choose_warps(molecule.n_atoms, 0, 64, torch.float64, small.limits) == 0
    evaluate = cuda_energy(system, load=lambda source, _: small)
    assert_equal_to_openmm(WithGradient(evaluate), system, molecule.seed_conformers(3, seed=1))
    assert small.launched == ["columns"]


def source_of(system, dtype=torch.float64):
    return energy_source(list(compile_system(system, compiled=False).terms.values()), dtype)


def test_source_depends_on_formulas_alone():
    """So that one compilation serves all molecules of a force field."""
    one, other = (mmff_system(Molecule.from_smiles(s)) for s in ("CCO", "CC(C)CCO"))
    assert source_of(one) == source_of(other)


@pytest.mark.skipif(
    sys.platform != "linux", reason="memory that is not reserved is asked for as Linux has it"
)
def test_indices_beyond_32_bits(columns):
    """The last conformation of a batch whose rows begin beyond 2³¹ numbers; untouched pages cost nothing."""
    system, batch = forces.system_with(forces.harmonic_bond), 2**27
    rows = 3 * forces.N_ATOMS
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    x, gradient = (
        torch.frombuffer(mmap.mmap(-1, 4 * rows * batch, flags=flags), dtype=torch.float32).view(rows, batch)
        for _ in range(2)
    )
    conformation = batch_last(positions(1), torch.float32)
    x[:, -1] = conformation.reshape(rows)
    energy = torch.frombuffer(mmap.mmap(-1, 4 * batch, flags=flags), dtype=torch.float32)
    evaluate = cuda_energy(system, torch.float32)
    last = batch // COLUMN_BLOCK
    scratch = torch.zeros(1)
    arguments = [*evaluate._data, x, energy, gradient, forces.N_ATOMS, ctypes.c_int64(batch), scratch]
    evaluate._module.launch("columns", last, (COLUMN_BLOCK, 1), 0, arguments, first=last - 1)
    expected, slope = evaluate(conformation)
    torch.testing.assert_close(energy[-1:], expected)
    torch.testing.assert_close(gradient[:, -1], slope.reshape(rows))


def test_empty_batch():
    energy, gradient = cuda_energy(forces.system_with(forces.harmonic_bond))(
        torch.zeros(3, forces.N_ATOMS, 0, dtype=torch.float64)
    )
    assert energy.shape == (0,)
    assert gradient.shape == (3, forces.N_ATOMS, 0)


def test_positions_on_the_cpu_are_left_to_the_cpus_backend():
    assert not CudaBackend().serves(torch.zeros(3, 2, 1))


@pytest.mark.parametrize(("n_atoms", "batch"), [(22, 1024), (22, 16384), (45, 4096), (60, 4096), (300, 64)])
def test_warps_fit_and_are_more_for_small_batches(n_atoms, batch):
    warps = choose_warps(n_atoms, 2, batch, torch.float32, H100)
    assert tile_bytes(n_atoms, 2, warps, torch.float32) <= H100.shared_per_block
    assert warps >= choose_warps(n_atoms, 2, 64 * batch, torch.float32, H100)
    if warps == 0:  # not even one
        assert tile_bytes(n_atoms, 2, 1, torch.float32) > H100.shared_per_block
