"""Weights of samples as the recipe draws them."""

import math

import pytest
import torch

from boltzgen.energies.compiler import compile_system
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.forcefields.mmff import mmff_system
from boltzgen.models.flow import FlowModel
from boltzgen.progress import Stopwatch
from boltzgen.workflows.sampling import draw
from tests.coordinates.frames import coordinates, frames, molecule


class HalfMirrored(FlowModel):
    """Every other sample is the mirror image, with the density of the sample itself."""

    def sample_with_log_prob(self, n, generator=None):
        x = frames("isoleucine")[:n].clone()
        x[::2, :, 2] *= -1.0
        return x, torch.zeros(n, dtype=x.dtype)


@pytest.mark.parametrize("n", [6])
def test_samples_of_another_stereoisomer_have_no_weight(n):
    isoleucine = molecule("isoleucine")
    target = BoltzmannTarget(compile_system(mmff_system(isoleucine)), 300.0)
    model = HalfMirrored(coordinates("isoleucine")).double()
    ensemble = draw(model, target, isoleucine, n, torch.Generator().manual_seed(0), Stopwatch())
    assert (ensemble.weights[::2] == 0.0).all()
    assert (ensemble.weights[1::2] > 0.0).all()
    assert (ensemble.log_weights[::2] == -math.inf).all()
    assert ensemble.molecule.keeps_stereo(ensemble.positions).tolist() == [False, True] * (n // 2)
