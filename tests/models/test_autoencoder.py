"""The autoencoder: its loss and error measured rightly, the density of its codes, what its samples hold."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from boltzgen.models.autoencoder import Autoencoder, AutoencoderConfig, reconstruction_error, superposed_rmsd
from boltzgen.models.mixture import fit_mixture
from boltzgen.models.model import Internal
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import ToyCoordinates
from tests.objectives.two_modes import CENTRES, TwoModes, mode_frames


def frames_of_both_modes(n: int) -> Internal:
    generator = torch.Generator().manual_seed(0)
    parts = [mode_frames(mode, round(n * share), generator) for mode, share in ((0, 0.7), (1, 0.3))]
    return Internal(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


def new_model(n_torsions: int = 2, n_stiff: int = 1, **settings) -> Autoencoder:
    torch.manual_seed(1)
    settings = {"hidden": 24, "latent_components": 4} | settings
    return Autoencoder(ToyCoordinates(n_torsions, n_stiff), AutoencoderConfig(**settings)).double()


@pytest.fixture(scope="module")
def trained() -> Autoencoder:
    model, target = new_model(), TwoModes()
    data = TrainingData(target, torch.Generator().manual_seed(2), frames_of_both_modes(4000))
    settings = TrainingConfig(max_steps=500, batch_size=256, learning_rate=5e-3)
    train(model, family("autoencoder").stages(model, data, settings), settings)
    assert target.evaluations == 0
    return model


def test_superposed_rmsd_is_scipys_and_knows_mirror_images():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5, 3))
    y = x @ np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1]]) + 0.1 * rng.standard_normal((6, 5, 3))
    y[:3] = x[:3] @ Rotation.random(random_state=1).as_matrix() + 3.0 + 0.1 * rng.standard_normal((3, 5, 3))
    found = superposed_rmsd(torch.tensor(x), torch.tensor(y))
    for a, b, rmsd in zip(x, y, found, strict=True):
        _, total = Rotation.align_vectors(a - a.mean(0), b - b.mean(0))
        assert float(rmsd) == pytest.approx(total / math.sqrt(5))


def test_the_loss_is_half_the_square_of_small_errors_and_knows_the_seam():
    model = new_model()
    z = torch.randn(5, model.latent_dim).double()
    decoded = model.decode(z)
    model.encode = lambda internal: z
    small = Internal(decoded.torsions + 1e-3 - 2 * math.pi, decoded.stiff + 2e-3)
    expected = torch.full((5,), 0.5 * (2 * 1e-6 + 4e-6)).double()
    torch.testing.assert_close(model.reconstruction_loss(small), expected, rtol=1e-5, atol=0)


def test_reconstruction_error_is_that_of_the_decoded_positions():
    """Three atoms whose positions are their coordinates: the RMSD of what comes back, superposed."""
    model = new_model(n_torsions=0, n_stiff=9)
    frames = Internal(torch.zeros(40, 0).double(), torch.randn(40, 9).double())
    with torch.no_grad():
        decoded = model.decode(model.encode(frames)).stiff
    expected = superposed_rmsd(frames.stiff.view(-1, 3, 3), decoded.view(-1, 3, 3)).mean()
    assert reconstruction_error(model, frames) == pytest.approx(float(expected))


def test_every_parameter_gets_a_gradient():
    model = new_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    frames = frames_of_both_modes(64)
    model.fit_latent(frames, torch.Generator().manual_seed(0))
    loss = model.reconstruction_loss(frames).mean() - model.latent_log_prob(frames).mean()
    for gradient in torch.autograd.grad(loss, list(model.parameters())):
        assert gradient.abs().max() > 0


def test_training_lowers_the_error_and_samples_both_modes_in_proportion(trained):
    frames = frames_of_both_modes(2000)
    with torch.no_grad():
        error, before = (float(m.reconstruction_loss(frames).mean()) for m in (trained, new_model()))
    assert error < 0.1 * before
    torsions = trained.sample(4000, torch.Generator().manual_seed(3)).flatten(1)[:, :2]
    nearness = torch.stack([(torsions - centre).cos().sum(1) for centre in CENTRES])
    assert float((nearness[1] > nearness[0]).double().mean()) == pytest.approx(0.3, abs=0.06)


def test_a_mixture_is_found_again():
    generator = torch.Generator().manual_seed(5)
    rows = torch.rand(6000, generator=generator) < 0.25
    points = torch.randn(6000, 2, generator=generator).double() * torch.tensor([1.0, 0.2]).double()
    points[rows] += torch.tensor([8.0, 3.0]).double()
    weights, means, factors = fit_mixture(points, 2, generator)
    order = means[:, 0].argsort()
    assert weights[order].tolist() == pytest.approx([0.75, 0.25], abs=0.02)
    assert means[order].flatten().tolist() == pytest.approx([0, 0, 8, 3], abs=0.1)
    assert factors[order][0].diagonal().tolist() == pytest.approx([1.0, 0.2], rel=0.1)


def test_more_components_than_points_leave_a_density():
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0], [2.0, 3.0]]).double()
    weights, _, factors = fit_mixture(points, 8, torch.Generator().manual_seed(0))
    assert float(weights.sum()) == pytest.approx(1.0)
    assert torch.isfinite(factors).all()
