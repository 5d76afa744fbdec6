"""Replica exchange as a reference: frames by ladder, and settings that cannot be."""

import numpy as np
import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.systems import load_system
from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

KT = 0.0019872041 * 300.0 * 4.184  # kJ/mol


def test_frames_and_energies_belong_together_and_water_is_nearly_harmonic():
    system = load_system("O")
    config = ReferenceConfig(ladders=8, picoseconds=10.0)
    reference = reference_ensemble(system, config)
    ensemble = reference.ensemble
    by_ladder = reference.by_ladder(torch.as_tensor(ensemble.energies))
    assert by_ladder.shape[1] == 8
    # Three nearly harmonic degrees of freedom hold half a kT each above the minimum, which MMFF has at 0.
    excess = reference.energy.mean
    assert abs(excess.value - 1.5 * KT) < 5 * excess.stderr + 0.1 * KT
    assert np.isfinite(ensemble.energies).all()
    assert reference.converged == ensemble.metadata["converged"]


def test_a_ladder_that_does_not_rise_is_refused():
    with pytest.raises(InputError, match="hottest"):
        reference_ensemble(load_system("O"), ReferenceConfig(temperature=1000.0))
