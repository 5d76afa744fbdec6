"""Training of variational autoencoders: gradients against autograd's plain ones, modes and Z found."""

import copy

import torch

from boltzgen.models.model import Internal
from boltzgen.models.vae import VAEConfig, VariationalAutoencoder
from boltzgen.objectives.elbo import beta_schedule, elbo_loss
from boltzgen.objectives.extended_reverse_kl import extended_reverse_kl
from boltzgen.objectives.outliers import Outliers
from boltzgen.sampling.importance import effective_sample_size, log_mean_weight
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.trainer import train
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import TwoModes, mode_frames

CONFIG = VAEConfig(latent_dim=2, hidden=12)


def vae(scale: float, n_torsions: int = 2, n_stiff: int = 4) -> VariationalAutoencoder:
    torch.manual_seed(7)
    model = VariationalAutoencoder(ToyCoordinates(n_torsions, n_stiff), CONFIG).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def gradient(model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in gradients])


def both_modes(n: int, generator: torch.Generator) -> Internal:
    """Frames with the modes' true weights 0.7 and 0.3."""
    parts = [mode_frames(mode, round(n * share), generator) for mode, share in ((0, 0.7), (1, 0.3))]
    return Internal(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


def test_extended_path_gradient_has_the_expectation_of_the_reparametrised_one():
    model, target = vae(0.2), TorusAndGaussian(2, 4, coupled=0.7)
    path, full = [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        surrogate, _ = extended_reverse_kl(model, target, 500, generator, outliers=Outliers(0.0))
        path.append(gradient(model, surrogate))
        _, x, log_g = model.decode(model.sample_latent(500, torch.Generator().manual_seed(1000 + seed)))
        full.append(gradient(model, (log_g + target.reduced_energy(x)).mean()))
    path, full = torch.stack(path), torch.stack(full)
    error = (path.var(0) / 40 + full.var(0) / 40).sqrt()
    deviation = (path.mean(0) - full.mean(0)).abs() / error.clamp_min(1e-9)
    assert deviation.max() < 5
    assert (full.mean(0).abs() > 1e-4).double().mean() > 0.9


def test_every_parameter_gets_a_gradient_from_either_objective():
    model, target = vae(0.2), TorusAndGaussian(2, 4)
    generator = torch.Generator().manual_seed(0)
    frames = Internal(torch.rand(64, 2).double(), torch.randn(64, 4).double())
    surrogate, _ = extended_reverse_kl(model, target, 64, generator)
    for loss in (elbo_loss(model, frames, generator, importance_samples=3), surrogate):
        for parameter in torch.autograd.grad(loss, list(model.parameters())):
            assert parameter.abs().max() > 0


def test_bounds_are_ordered_and_beta_weighs_the_latent_terms():
    model = vae(0.3)
    frames = Internal(torch.rand(4000, 2).double(), torch.randn(4000, 4).double())
    with torch.no_grad():
        one, many = (float(elbo_loss(model, frames, torch.Generator().manual_seed(1), k)) for k in (1, 50))
        free, half = (
            float(elbo_loss(model, frames, torch.Generator().manual_seed(1), 1, beta)) for beta in (0.0, 0.5)
        )
    assert many < one
    assert abs(half - (free + one) / 2) < 1e-9
    assert [beta_schedule(p, 0.2) for p in (0.0, 0.1, 0.2, 0.9)] == [0.0, 0.5, 1.0, 1.0]
    assert beta_schedule(0.0, 0.0) == 1.0


def trained(name, target, frames, steps, **changes):
    model = vae(0.0, frames.torsions.shape[1], frames.stiff.shape[1])
    untrained = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(3)
    settings = TrainingConfig(max_steps=steps, batch_size=256, **changes)
    result = train(
        model, family(name).stages(model, TrainingData(target, generator, frames), settings), settings
    )
    return model, untrained, result


def log_z_and_share(model, target):
    with torch.no_grad():
        x, log_g = model.sample_with_extended_log_prob(20_000, torch.Generator().manual_seed(9))
        log_weights = -target.reduced_energy(x) - log_g
    return log_mean_weight(log_weights), effective_sample_size(log_weights) / len(x)


def test_elbo_learns_frames_without_energies():
    target = TwoModes()
    frames = both_modes(4000, torch.Generator().manual_seed(11))
    model, untrained, _ = trained("vae", target, frames, 200, learning_rate=5e-3)
    assert target.evaluations == 0
    with torch.no_grad():
        losses = [
            float(elbo_loss(one, frames, torch.Generator().manual_seed(2), 10)) for one in (untrained, model)
        ]
    assert losses[1] < losses[0] - 0.5
    log_z, share = log_z_and_share(model, target)
    assert abs(log_z.value - target.log_Z) < 5 * log_z.stderr
    assert share > log_z_and_share(untrained, target)[1] + 0.1


def test_energy_alone_gives_z():
    target = TorusAndGaussian(2, 4, coupled=0.5)
    generator = torch.Generator().manual_seed(4)
    frames = Internal(0.8 * torch.randn(500, 2, generator=generator).double(), torch.randn(500, 4).double())
    model, untrained, result = trained("vae-energy", target, frames, 300, learning_rate=5e-3)
    assert result.n_bad_steps == 0
    assert target.evaluations == 240 * 256  # a fifth of the steps are on frames
    log_z, share = log_z_and_share(model, target)
    assert share > max(0.5, log_z_and_share(untrained, target)[1] + 0.1)
    assert abs(log_z.value - target.log_Z) < 4 * log_z.stderr
