"""Conditional reverse KL and log-dispersion: right gradients, and none where the model equals the target."""

import math

import torch

from boltzgen.coordinates.base import StiffBase
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.conditional import conditional_reverse_kl
from boltzgen.objectives.dispersion import log_dispersion, usual_level
from boltzgen.objectives.guided import covered
from boltzgen.objectives.outliers import Outliers
from tests.models.toy_coordinates import TorusAndGaussian
from tests.objectives.test_reverse_kl import flow, gradient


def uniform_torsions(n: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 2, generator=generator, dtype=torch.float64) * 2 - 1) * math.pi


def log_prob_of_stiff(model: FlowModel, torsions: torch.Tensor, stiff: torch.Tensor) -> torch.Tensor:
    """log q(y|τ) = log q(τ, y) − log q(τ); the torsions of these flows do not depend on y."""
    joint = model.internal_log_prob(Internal(torsions, stiff))
    _, log_det = model.unmove_torsions(torsions, stiff)
    return joint - (log_det - 2 * math.log(2 * math.pi))


def test_conditional_path_gradient_has_the_expectation_of_the_reparametrised_gradient():
    model, target = flow(0.2), TorusAndGaussian(2, 4, coupled=0.7)
    path, full = [], []
    for seed in range(40):
        torsions = uniform_torsions(500, seed)
        surrogate, _ = conditional_reverse_kl(
            model, target, torsions, torch.Generator().manual_seed(seed), outliers=Outliers(0.0)
        )
        path.append(gradient(model, surrogate))
        latent = torch.randn(
            500, 4, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64
        )
        stiff, _ = model.move_stiff(torsions, latent)
        x, _ = model.coordinates.to_positions(torsions, stiff)
        loss = log_prob_of_stiff(model, torsions, stiff) + target.reduced_energy(x)
        full.append(gradient(model, loss.mean()))
    path, full = torch.stack(path), torch.stack(full)
    error = (path.var(0) / 40 + full.var(0) / 40).sqrt()
    assert ((path.mean(0) - full.mean(0)).abs() / error.clamp_min(1e-9)).max() < 5
    assert path.abs().max() > 0.1


def test_stiff_layers_learn_at_given_torsions_and_torsion_layers_do_not():
    model = flow(0.2)
    surrogate, dropped = conditional_reverse_kl(
        model, TorusAndGaussian(2, 4, coupled=0.7), uniform_torsions(200, 0), outliers=Outliers(0.05)
    )
    assert dropped == 10
    surrogate.backward()
    moved = {
        name.split(".")[1]
        for name, p in model.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }
    assert moved == {
        str(i) for i, layer in enumerate(model.layers) if type(layer).__name__ != "TorsionCoupling"
    }


class ModelItself:
    """exp(−u) is five times the density of a flow."""

    evaluations = 0

    def __init__(self) -> None:
        self.model = flow(0.2).requires_grad_(False)

    def reduced_energy(self, x):
        return -self.model.log_prob(x) - math.log(5.0)


def test_no_sample_pulls_where_the_model_equals_the_target():
    model, target = flow(0.2), ModelItself()
    surrogate, _ = conditional_reverse_kl(model, target, uniform_torsions(64, 1), outliers=Outliers(0.0))
    assert gradient(model, surrogate).abs().max() < 1e-8
    frames = Internal(uniform_torsions(64, 2), torch.randn(64, 4, dtype=torch.float64))
    x, log_det = model.coordinates.to_positions(*frames)
    actions = target.reduced_energy(x) - log_det - model.coordinates.log_multiplicity
    with torch.no_grad():
        sample, log_q = model.sample_with_log_prob(100)
        level = usual_level(log_q + target.reduced_energy(sample))
    assert abs(float(level) + math.log(5.0)) < 1e-9
    assert gradient(model, log_dispersion(model, frames, actions, level)).abs().max() < 1e-8


def test_dispersion_is_half_the_mean_square_deviation_within_its_bound():
    model = flow(0.2)
    frames = Internal(uniform_torsions(50, 3), torch.randn(50, 4, dtype=torch.float64))
    actions = torch.linspace(-2.0, 2.0, 50, dtype=torch.float64)
    level = torch.tensor(-7.0, dtype=torch.float64)
    exact = 0.5 * (model.internal_log_prob(frames) + actions - level).square().mean()
    ours = log_dispersion(model, frames, actions, level, bound=1e6)
    torch.testing.assert_close(gradient(model, ours), gradient(model, exact), rtol=1e-9, atol=1e-12)
    actions[0] = torch.inf
    far = log_dispersion(model, frames, actions, level, bound=0.5)
    assert gradient(model, far).isfinite().all()


def test_clashes_are_left_out_of_the_level():
    actions = torch.cat([torch.full((98,), -3.0), torch.tensor([1e6, torch.nan])])
    assert float(usual_level(actions)) == -3.0


def test_frames_that_no_gaussian_of_the_base_covers_are_told_apart():
    """Normal frames are all kept, in few dimensions and in many; those fifteen deviations off are not."""
    for n_stiff in (1, 3, 100):
        base = StiffBase(n_stiff)
        usual = base.sample(5000, torch.Generator().manual_seed(n_stiff))
        assert bool(covered(base, usual).all())
        far = usual[:2000].clone()
        far[:, 0] += 15.0 + 0.1 * n_stiff
        kept = covered(base, torch.cat([usual, far]))
        assert bool(kept[:5000].all())
        assert not bool(kept[5000:].any())
    assert len(covered(base, usual[:0])) == 0
