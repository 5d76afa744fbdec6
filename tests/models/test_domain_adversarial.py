"""Two domains in one model: exact weights at the target's, a blind encoder, and use of the other's frames."""

import pytest
import torch

from boltzgen.errors import InputError
from boltzgen.models.domain_adversarial import HOT, TARGET, DomainAdversarialConfig, DomainAdversarialModel
from boltzgen.models.model import Internal
from boltzgen.sampling.importance import log_mean_weight
from boltzgen.training.adversarial_recipes import domain_adversarial_stages, domain_figures
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.model_file import load_model, save_model
from boltzgen.training.trainer import train
from tests.coordinates.frames import coordinates, molecule
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, TwoModes, mode_frames


def toy_model(n_torsions: int = 1, n_stiff: int = 2, **settings) -> DomainAdversarialModel:
    torch.manual_seed(0)
    config = DomainAdversarialConfig(**{"latent_dim": 2, "hidden": 24, "beta_warmup_share": 0.0} | settings)
    return DomainAdversarialModel(ToyCoordinates(n_torsions, n_stiff), config).double()


def perturbed(model: DomainAdversarialModel) -> DomainAdversarialModel:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def shifted_domains(n: int = 3000) -> TrainingData:
    """A torsion and two lengths in both; all of them lie elsewhere in the hot domain, and are wider."""
    generator = torch.Generator().manual_seed(4)

    def frames(mean: float, spread: float) -> Internal:
        noise = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        return Internal(mean + 0.5 * spread * noise[:, :1], mean + spread * noise[:, 1:])

    target = TorusAndGaussian(1, 2)
    return TrainingData(target, torch.Generator().manual_seed(5), frames(-0.5, 1.0), frames(1.0, 1.4))


def populations(n: int = 3000) -> TrainingData:
    """Two modes of correlated torsions, nine to one in one domain and one to nine in the other."""
    generator, parts = torch.Generator().manual_seed(4), []
    for share in (0.9, 0.1):
        modes = [
            mode_frames(0, round(share * n), generator),
            mode_frames(1, round((1 - share) * n), generator),
        ]
        parts.append(Internal(*(torch.cat(pair) for pair in zip(*modes, strict=True))))
    return TrainingData(TwoModes(), torch.Generator().manual_seed(5), *parts)


def told_apart(adversary: bool) -> float:
    """Balanced accuracy of the classifier after training with or without its gradient."""
    settings = {"strength": 5.0, "target_share": 0.5, "beta_warmup_share": 0.5}
    model, data = toy_model(N_TORSIONS, N_STIFF, adversary=adversary, **settings), populations()
    config = TrainingConfig(max_steps=400, batch_size=128, learning_rate=5e-3)
    train(model, domain_adversarial_stages(model, data, config), config)
    return domain_figures(model, data)["domain_balanced_accuracy"]


def test_weights_on_the_extended_space_have_the_mean_z():
    target, model = TorusAndGaussian(2, 4, kappa=0.5), perturbed(toy_model(2, 4))
    with torch.no_grad():
        x, log_g = model.sample_with_extended_log_prob(200_000, torch.Generator().manual_seed(5))
        estimate = log_mean_weight(-target.reduced_energy(x) - log_g)
    assert estimate.stderr < 0.1
    assert abs(estimate.value - target.log_Z) < 4 * estimate.stderr


def test_the_bound_is_below_the_extended_estimate_of_the_density_and_rises_with_k():
    """E[exp(bound)] = q(x) for every K, so that E[bound] rises to log q from below."""
    model = perturbed(toy_model())
    with torch.no_grad():
        x, _ = model.sample_with_extended_log_prob(60, torch.Generator().manual_seed(6))
        bounds = [
            float(model.log_prob_bound(x, k, torch.Generator().manual_seed(7)).mean()) for k in (1, 20, 900)
        ]
    assert bounds[0] < bounds[1] < bounds[2] + 0.02


def test_every_parameter_gets_a_gradient_and_the_domains_differ():
    model, data = perturbed(toy_model()), shifted_domains(200)
    stage = domain_adversarial_stages(model, data, TrainingConfig(batch_size=64))[0]
    stage.objective.loss(1.0).value.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert data.frames is not None
    told = [
        model.log_joint_and_latent(data.frames, domain, generator=torch.Generator().manual_seed(8))[0]
        for domain in (TARGET, HOT)
    ]
    assert (told[0] - told[1]).abs().min() > 1e-6


def test_without_the_adversary_the_classifier_only_watches():
    """The encoder's gradient is that of the bound alone; with it, the classifier's is taken away."""
    gradients = {}
    for strength in (0.0, 1.0, 2.0):
        model = perturbed(toy_model(strength=strength))
        data = shifted_domains(200)
        domain_adversarial_stages(model, data, TrainingConfig(batch_size=64))[0].objective.loss(
            1.0
        ).value.backward()
        gradients[strength] = model.encoder.network.last.weight.grad.clone()
    watching = perturbed(toy_model(adversary=False))
    domain_adversarial_stages(watching, shifted_domains(200), TrainingConfig(batch_size=64))[
        0
    ].objective.loss(1.0).value.backward()
    torch.testing.assert_close(watching.encoder.network.last.weight.grad, gradients[0.0])
    change = gradients[1.0] - gradients[0.0]
    assert change.abs().max() > 1e-6
    torch.testing.assert_close(gradients[2.0] - gradients[0.0], 2 * change)


def test_the_adversary_makes_the_encoder_blind_to_the_domain():
    watched, deceived = told_apart(adversary=False), told_apart(adversary=True)
    assert watched > 0.65
    assert abs(deceived - 0.5) < 0.5 * abs(watched - 0.5)


def test_samples_keep_stereo_and_a_saved_model_makes_them_again(tmp_path):
    torch.manual_seed(0)
    name = "alanine-dipeptide"
    model = perturbed(DomainAdversarialModel(coordinates(name), DomainAdversarialConfig(hidden=8)).double())
    save_model(model, tmp_path / "model.safetensors", "domain-adversarial")
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, DomainAdversarialModel)
    with torch.no_grad():
        x, log_g = model.sample_with_extended_log_prob(100, torch.Generator().manual_seed(1))
        again, again_log_g = loaded.sample_with_extended_log_prob(100, torch.Generator().manual_seed(1))
    assert torch.equal(again, x)
    assert torch.equal(again_log_g, log_g)
    assert torch.isfinite(log_g).all()
    assert model.coordinates.contains(x).all()
    assert molecule(name).keeps_stereo(x.numpy()).all()


def test_frames_of_one_temperature_are_refused():
    data = TrainingData(TorusAndGaussian(1, 2), torch.Generator(), shifted_domains(10).frames)
    with pytest.raises(InputError, match="give hot frames"):
        domain_adversarial_stages(toy_model(), data, TrainingConfig())
    with pytest.raises(InputError, match="single atom"):
        toy_model(0, 0)
