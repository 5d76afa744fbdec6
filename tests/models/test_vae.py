"""The variational autoencoder as a density on (x, z): normalised, invertible, with weights of mean Z."""

import math

import pytest
import torch

from boltzgen.models.model import Internal
from boltzgen.models.vae import VAEConfig, VariationalAutoencoder
from boltzgen.sampling.importance import log_mean_weight
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, TwoModes


def perturbed_model(n_torsions: int, n_stiff: int, latent_dim: int = 2) -> VariationalAutoencoder:
    torch.manual_seed(0)
    config = VAEConfig(latent_dim=latent_dim, hidden=16)
    model = VariationalAutoencoder(ToyCoordinates(n_torsions, n_stiff), config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def test_extended_density_is_the_inverse_of_sampling():
    model = perturbed_model(3, 6)
    latent = model.sample_latent(50, torch.Generator().manual_seed(1))
    extended, _, log_g = model.decode(latent)
    again, log_det = model.inverse(extended)
    torch.testing.assert_close(again.stiff, latent.stiff)
    torch.testing.assert_close(again.torsions, latent.torsions)
    expected = model.latent_log_prob(latent) + log_det - model.encoder_log_prob(extended)
    torch.testing.assert_close(log_g, expected)


def test_log_det_is_that_of_autograd():
    model = perturbed_model(1, 2)
    latent = model.sample_latent(1, torch.Generator().manual_seed(2))

    def flat(point):
        extended, _, _ = model.decode(Internal(point[None, :1], point[None, 1:]))
        return torch.cat([extended.torsions[0], extended.stiff[0]])

    jacobian = torch.autograd.functional.jacobian(flat, torch.cat([latent.torsions[0], latent.stiff[0]]))
    extended, _, _ = model.decode(latent)
    _, log_det = model.inverse(extended)
    torch.testing.assert_close(-log_det[0], torch.linalg.slogdet(jacobian)[1])


def test_every_encoder_density_is_normalised_by_quadrature():
    model = perturbed_model(1, 2)
    line = torch.linspace(-15, 15, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    frame = Internal(torch.tensor([[0.4]]).double(), torch.tensor([[0.3, -1.0]]).double())
    repeated = Internal(*(part.expand(len(grid), -1) for part in frame))
    with torch.no_grad():
        total = model.encoder.log_prob(grid, repeated).exp().sum() * (line[1] - line[0]) ** 2
    assert abs(float(total) - 1) < 1e-3


def test_encoder_samples_carry_their_density():
    model = perturbed_model(2, 4)
    frames = Internal(torch.rand(20, 2).double(), torch.randn(20, 4).double())
    z, log_r = model.encoder.sample_with_log_prob(frames, torch.Generator().manual_seed(3))
    torch.testing.assert_close(model.encoder.log_prob(z, frames), log_r)


def test_the_bound_rises_to_the_density_by_quadrature():
    """One latent dimension on a grid gives log q exactly; the bound is below, nearer for larger K."""
    model = perturbed_model(1, 2, latent_dim=1)
    with torch.no_grad():
        model.encoder.network.last.weight.mul_(0.2)  # wider than the posteriors, so that K = 1000 is enough
    x, _ = model.sample_with_extended_log_prob(40, torch.Generator().manual_seed(4))
    torsions, stiff, _ = model.coordinates.from_positions(x)
    line = torch.linspace(-9, 9, 1201, dtype=torch.float64)
    with torch.no_grad():
        rows = []
        for z in line:
            extended = Internal(torsions, torch.cat([stiff, z.expand(len(x), 1)], dim=1))
            latent, log_det = model.inverse(extended)
            rows.append(model.latent_log_prob(latent) + log_det)
        exact = torch.logsumexp(torch.stack(rows), 0) + math.log(line[1] - line[0])
        gaps = []
        for k in (1, 10, 1000):
            bounds = [model.log_prob_bound(x, k, torch.Generator().manual_seed(s)) for s in range(5)]
            gaps.append(float((exact - torch.stack(bounds)).mean()))
    assert gaps[0] > gaps[1] > gaps[2] > -0.01
    assert gaps[2] < 0.02


@pytest.mark.parametrize(
    ("target", "n_torsions", "n_stiff"),
    [(TorusAndGaussian(2, 4, kappa=0.5), 2, 4), (TwoModes(), N_TORSIONS, N_STIFF)],
)
def test_weights_on_the_extended_space_have_the_mean_z(target, n_torsions, n_stiff):
    """Neither the decoder nor the encoder has learnt anything: the weights make up for it."""
    model = perturbed_model(n_torsions, n_stiff)
    with torch.no_grad():
        x, log_g = model.sample_with_extended_log_prob(200_000, torch.Generator().manual_seed(5))
        estimate = log_mean_weight(-target.reduced_energy(x) - log_g)
    assert estimate.stderr < 0.1
    assert abs(estimate.value - target.log_Z) < 4 * estimate.stderr


def test_a_molecule_without_degrees_of_freedom_has_no_latent_space():
    model = VariationalAutoencoder(ToyCoordinates(0, 0))
    assert model.latent_dim == 0
    assert not sum(parameter.numel() for parameter in model.parameters())
