"""Random systems: any forces, each alone and together, over any atoms, equal OpenMM."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzgen.energies.compiler import compile_system

from . import forces
from .oracle import assert_equal_to_openmm, interpolates, single_force_systems


@pytest.mark.parametrize("compiled", [False, True])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(chosen=st.lists(st.sampled_from(forces.FORCES), min_size=1, max_size=5), seed=st.integers(0, 10**6))
def test_random_system_equals_openmm(compiled, chosen, seed):
    system = forces.particles(seed)
    for make in chosen:
        system.addForce(make())
    scale = np.array([0.15, 0.3, 0.6])[:, None, None]
    positions = scale * np.random.default_rng(seed).normal(size=(3, forces.N_ATOMS, 3))
    for part in [*single_force_systems(system), system]:
        tolerance = 1e-7 if any(map(interpolates, part.getForces())) else 1e-9
        assert_equal_to_openmm(compile_system(part, compiled=compiled), part, positions, tolerance)
