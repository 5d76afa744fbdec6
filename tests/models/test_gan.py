"""Adversarial models: what they generate, that both players learn, and that the game reaches two modes."""

import pytest
import torch
from scipy.stats import ks_2samp

from boltzgen.errors import InputError
from boltzgen.models.gan import AdversarialConfig, AdversarialModel, GanConfig, WganConfig, WganGpConfig
from boltzgen.models.model import Internal
from boltzgen.objectives.adversarial import critic_distance
from boltzgen.training.adversarial_recipes import adversarial_figures, adversarial_stages
from boltzgen.training.config import TrainingConfig
from boltzgen.training.data import TrainingData
from boltzgen.training.families import family
from boltzgen.training.model_file import load_model, save_model
from boltzgen.training.trainer import train
from tests.coordinates.frames import coordinates, molecule
from tests.models.toy_coordinates import ToyCoordinates
from tests.objectives.two_modes import N_STIFF, N_TORSIONS, TwoModes, mode_frames

GAMES = {"gan": GanConfig, "wgan": WganConfig, "wgan-gp": WganGpConfig}


def two_mode_frames(n: int, seed: int) -> Internal:
    generator = torch.Generator().manual_seed(seed)
    parts = [mode_frames(0, round(0.7 * n), generator), mode_frames(1, round(0.3 * n), generator)]
    return Internal(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


def toy_model(config: AdversarialConfig) -> AdversarialModel:
    torch.manual_seed(0)
    return AdversarialModel(ToyCoordinates(N_TORSIONS, N_STIFF), config).double()


def toy_data(n: int = 4000) -> TrainingData:
    return TrainingData(TwoModes(), torch.Generator().manual_seed(1), two_mode_frames(n, 2))


def worst_marginal(model: AdversarialModel, frames: Internal) -> float:
    """The greatest Kolmogorov–Smirnov statistic of the torsions' sum, difference and values."""
    with torch.no_grad():
        made = model.sample_internal(4000, torch.Generator().manual_seed(3)).torsions.numpy()
    real = frames.torsions.numpy()

    def projections(t):
        return t[:, 0], t[:, 1], t.sum(1), t[:, 0] - t[:, 1]

    return max(ks_2samp(a, b).statistic for a, b in zip(projections(made), projections(real), strict=True))


@pytest.mark.parametrize("game", GAMES)
def test_every_parameter_is_moved_by_a_round_of_the_game(game):
    model, data = toy_model(GAMES[game](hidden=8)), toy_data(100)
    stage = adversarial_stages(model, data, TrainingConfig(batch_size=32))[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    moved = set()
    for _ in range(model.config.critic_steps + 1):
        model.zero_grad(set_to_none=True)
        stage.objective.loss(0.0).value.backward()
        moving = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert len({name.split(".")[0] for name in moving}) == 1  # one player at a time
        moved |= moving
    assert moved == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("game", GAMES)
def test_the_game_reaches_both_modes(game):
    critic_steps = 1 if game == "gan" else 5
    config = GAMES[game](hidden=48, depth=2, pace=1.0, critic_steps=critic_steps)
    model, data = toy_model(config), toy_data()
    fresh = two_mode_frames(4000, 5)
    before = worst_marginal(model, fresh)
    training = TrainingConfig(max_steps=1400, batch_size=256, learning_rate=2e-3)
    result = train(model, adversarial_stages(model, data, training), training)
    assert result.n_bad_steps == 0
    after = worst_marginal(model, fresh)
    assert before > 0.3
    assert after < 0.6 * before
    figures = adversarial_figures(model, data)
    if game == "gan":
        assert -0.01 < figures["discriminator_jensen_shannon_nats"] < 0.35
    else:
        estimate = critic_distance(model, fresh, torch.Generator().manual_seed(6))
        assert estimate.lower_bound <= estimate.distance
        assert figures["critic_wasserstein_1_lower_bound"] < 1.0


def test_a_clipped_critic_stays_within_its_bound_whatever_is_averaged():
    model, data = toy_model(WganConfig(hidden=8, clip=0.02)), toy_data(100)
    training = TrainingConfig(max_steps=30, batch_size=32, learning_rate=0.1)
    train(model, adversarial_stages(model, data, training), training)
    points = torch.randn(50, 5, dtype=torch.float64)
    with torch.no_grad():
        outside = model.critic(points)
        for parameter in model.critic.parameters():
            parameter.clamp_(-0.02, 0.02)
    torch.testing.assert_close(model.critic(points).detach(), outside)


@pytest.mark.parametrize("name", ["butane", "alanine-dipeptide"])
def test_samples_keep_stereo_however_wild_the_generator(name):
    torch.manual_seed(0)
    model = AdversarialModel(coordinates(name), WganGpConfig(hidden=16)).double()
    with torch.no_grad():
        for parameter in model.displacement.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        x = model.sample(200, torch.Generator().manual_seed(1))
    assert torch.isfinite(x).all()
    assert model.coordinates.contains(x).all()
    assert molecule(name).keeps_stereo(x.numpy()).all()


@pytest.mark.parametrize("game", GAMES)
def test_a_saved_model_samples_as_before_and_keeps_its_critic(game, tmp_path):
    torch.manual_seed(0)
    model = AdversarialModel(coordinates("butane"), GAMES[game](hidden=8)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_model(model, tmp_path / "model.safetensors", game)
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, AdversarialModel)
    with torch.no_grad():
        first, again = (m.sample(20, torch.Generator().manual_seed(2)) for m in (model, loaded))
        features = torch.randn(5, 2 * model.coordinates.n_torsions + model.coordinates.n_stiff).double()
        assert torch.equal(loaded.critic(features), model.critic(features))
    assert torch.equal(again, first)


def test_a_new_generator_is_the_base_density():
    model = toy_model(WganGpConfig(hidden=8))
    latent = Internal(torch.linspace(-3, 3, 8).double().reshape(4, 2), torch.randn(4, 1).double())
    made = model(latent)
    torch.testing.assert_close(made.torsions, latent.torsions)
    torch.testing.assert_close(made.stiff, latent.stiff)


@pytest.mark.parametrize("game", GAMES)
def test_without_frames_or_coordinates_there_is_nothing_to_learn(game):
    model = toy_model(GAMES[game](hidden=8))
    with pytest.raises(InputError, match="learns from frames and there are none"):
        family(game).stages(model, TrainingData(TwoModes(), torch.Generator()), TrainingConfig())
    with pytest.raises(InputError, match="single atom"):
        AdversarialModel(ToyCoordinates(0, 0), GAMES[game]())
