"""Every kind of force equals OpenMM's Reference platform in float64, uncompiled and as machine code."""

import numpy as np
import pytest
import torch

from boltzgen.energies.compiler import compile_system

from .forces import FORCES, N_ATOMS, system_with
from .oracle import assert_equal_to_openmm, batch_last

INTERPOLATING = ("tabulated", "cmap", "custom_nonbonded", "custom_gb", "gb_n")


def positions(n: int = 12) -> np.ndarray:
    rng = np.random.default_rng(7)
    scale = np.linspace(0.1, 0.4, n)[:, None, None]
    return scale * rng.normal(size=(n, N_ATOMS, 3))


@pytest.mark.parametrize("compiled", [False, True], ids=["torch", "native"])
@pytest.mark.parametrize("make", FORCES, ids=lambda make: make.__name__)
def test_force_equals_openmm(make, compiled):
    system = system_with(make)
    tolerance = 1e-7 if make.__name__.startswith(INTERPOLATING) else 1e-9
    assert_equal_to_openmm(compile_system(system, compiled=compiled), system, positions(), tolerance)


@pytest.mark.parametrize("make", FORCES, ids=lambda make: make.__name__)
def test_gradient_equals_finite_differences(make):
    energy = compile_system(system_with(make), compiled=False)
    x = batch_last(positions()[-1:]).requires_grad_()
    torch.autograd.gradcheck(energy, (x,), eps=1e-6, atol=1e-3, rtol=1e-4)
