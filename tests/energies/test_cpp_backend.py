"""Compiled energies: lack of memory is told, copies compute the same."""

import copy
import pickle

import pytest
import torch

from boltzgen.energies.backends import cpp_born
from boltzgen.energies.compiler import compile_system
from boltzgen.errors import EvaluationError

from .forces import gbsa_obc, system_with, tabulated_compound_bond


def test_lack_of_memory_is_reported(monkeypatch):
    """In an implicit solvent, whose kernel asks for memory of its own."""
    monkeypatch.setattr(cpp_born, "_SCRATCH", "static T* scratch(int64_t) { return nullptr; }\n")
    energy = compile_system(system_with(gbsa_obc), compiled=True)
    with pytest.raises(EvaluationError, match="no memory"):
        energy(torch.randn(3, energy.n_atoms, 40, dtype=torch.float64))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda energy: pickle.loads(pickle.dumps(energy))])
def test_copies_of_a_compiled_energy_compute_the_same(duplicate):
    energy = compile_system(system_with(tabulated_compound_bond), compiled=True)
    x = torch.randn(3, energy.n_atoms, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = energy(x)
    torch.testing.assert_close(duplicate(energy)(x), value, rtol=0, atol=0)
