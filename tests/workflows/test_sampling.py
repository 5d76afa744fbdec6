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


class Hungry(FlowModel):
    """Needs more memory than there is for more than ``most`` samples at once."""

    most, asked = 256, ()

    def sample_with_log_prob(self, n, generator=None):
        self.asked = (*self.asked, n)
        if n > self.most:
            torch.empty(2**60)
        return super().sample_with_log_prob(n, generator)


@pytest.mark.parametrize("most", [256, 100])
def test_smaller_chunks_are_tried_once_where_memory_is_short(most):
    isoleucine = molecule("isoleucine")
    target = BoltzmannTarget(compile_system(mmff_system(isoleucine)), 300.0)
    model = Hungry(coordinates("isoleucine")).double()
    model.most = most
    arguments = (model, target, isoleucine, 600, torch.Generator().manual_seed(0), Stopwatch())
    if most == 100:
        with pytest.raises(RuntimeError, match="allocate memory"):
            draw(*arguments)
        assert model.asked == (600, 256)
    else:
        assert len(draw(*arguments)) == 600
        assert model.asked == (600, 256, 256, 88)
