"""Path gradients: unbiased against the reparametrised gradient, and of zero variance at the optimum."""

import torch

from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.objectives.outliers import Outliers
from boltzgen.objectives.reverse_kl import reverse_kl
from tests.models.toy_coordinates import TorusAndGaussian, ToyCoordinates

CONFIG = FlowConfig(torsion_couplings=2, torsion_hidden=8, stiff_couplings=2, stiff_hidden=8)


def flow(scale: float) -> FlowModel:
    torch.manual_seed(7)
    model = FlowModel(ToyCoordinates(2, 4), CONFIG).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model


def gradient(model: FlowModel, loss: torch.Tensor) -> torch.Tensor:
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in gradients])


def test_path_gradient_has_the_expectation_of_the_reparametrised_gradient():
    model, target = flow(0.2), TorusAndGaussian(2, 4, coupled=0.7)
    path, full = [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        surrogate, _ = reverse_kl(model, target, 500, generator, outliers=Outliers(0.0))
        path.append(gradient(model, surrogate))
        _, x, log_q = model.decode(model.sample_latent(500, torch.Generator().manual_seed(1000 + seed)))
        full.append(gradient(model, (log_q + target.reduced_energy(x)).mean()))
    path, full = torch.stack(path), torch.stack(full)
    error = (path.var(0) / 40 + full.var(0) / 40).sqrt()
    deviation = (path.mean(0) - full.mean(0)).abs() / error.clamp_min(1e-9)
    # Hundreds of parameters: the largest of as many normal deviates stays below 5 standard errors.
    assert deviation.max() < 5


def test_path_gradient_vanishes_sample_by_sample_where_model_equals_target():
    model = flow(0.2)

    class ModelItself:
        evaluations = 0

        def reduced_energy(self, x):
            return -frozen.log_prob(x)

    frozen = flow(0.2).requires_grad_(False)
    surrogate, info = reverse_kl(
        model, ModelItself(), 64, torch.Generator().manual_seed(0), outliers=Outliers(0.0)
    )
    assert gradient(model, surrogate).abs().max() < 1e-8
    torch.testing.assert_close(info.log_weights, torch.zeros(64, dtype=torch.float64), atol=1e-7, rtol=0)


def test_worst_and_non_finite_samples_do_not_train():
    model, target = flow(0.1), TorusAndGaussian(2, 4)

    class Clashing:
        evaluations = 0

        def reduced_energy(self, x):
            u = target.reduced_energy(x)
            poison = torch.zeros_like(u)
            poison[3], poison[5] = torch.inf, 1e12
            return u + poison * x.sum((1, 2)).abs()

    surrogate, info = reverse_kl(
        model, Clashing(), 100, torch.Generator().manual_seed(0), outliers=Outliers(0.02)
    )
    gradients = gradient(model, surrogate)
    assert info.n_dropped == 2
    assert torch.isfinite(gradients).all()
    assert gradients.abs().max() < 1e3


def test_the_logarithm_of_a_clash_trains_and_other_samples_as_they_are():
    """By the chain rule: d ln(1 + A − c) = dA / (1 + A − c) beyond c, where c is the median and nine nats."""
    action = torch.tensor([1.0, 2.0, 11.5, 1e4, 3.0, torch.inf], dtype=torch.float64).requires_grad_()
    kept = torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    Outliers(log_cut=9.0).trained_action(action, kept).sum().backward()
    expected = torch.tensor([1.0, 1.0, 1.0, 1 / (1 + 1e4 - 12.0), 1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(action.grad, expected)
    untouched = Outliers().trained_action(action, kept)
    assert torch.equal(untouched, torch.where(kept > 0, action, 0.0))


def test_a_clash_pulls_no_harder_than_a_few_other_samples():
    model, target = flow(0.1), TorusAndGaussian(2, 4)

    class Steep:
        evaluations = 0

        def __init__(self, slope: float) -> None:
            self.slope = slope

        def reduced_energy(self, x):
            u = target.reduced_energy(x)
            clashes = (torch.arange(len(u)) == 3).double()
            return u + self.slope * clashes * x.sum((1, 2)).exp()

    def total(slope: float, log_cut: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        loss, _ = reverse_kl(model, Steep(slope), 100, generator, outliers=Outliers(0.0, log_cut))
        return gradient(model, loss)

    usual = total(0.0, 10.0)
    assert total(1e8, 10.0).norm() < 5 * usual.norm() < total(1e8, torch.inf).norm()
