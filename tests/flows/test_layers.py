"""Every layer of the flow: inverse, log-determinant by autograd, and a gradient for every parameter."""

import math

import pytest
import torch

from boltzgen.flows.couplings import StiffCoupling, StiffSpline, TorsionCoupling

N_TORSIONS, N_STIFF = 4, 5
FOLDS = torch.tensor([1, 3, 1, 2])


def indices(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.long)


LAYERS = {
    "torsion coupling": lambda: TorsionCoupling(indices(0, 2), indices(1, 3), indices(), FOLDS, 8, 16),
    "torsion coupling with stiff context": lambda: TorsionCoupling(
        indices(0, 1), indices(2, 3), indices(1, 4), FOLDS, 8, 16
    ),
    "marginal torsion splines": lambda: TorsionCoupling(
        indices(0, 1, 2, 3), indices(), indices(), FOLDS, 5, 8
    ),
    "stiff coupling": lambda: StiffCoupling(indices(0, 2, 4), indices(1, 3), FOLDS, 16),
    "stiff given torsions": lambda: StiffCoupling(indices(0, 1, 2, 3, 4), indices(), FOLDS, 16),
    "stiff splines": lambda: StiffSpline(N_STIFF),
}


@pytest.fixture(params=LAYERS, ids=str)
def layer(request):
    torch.manual_seed(3)
    layer = LAYERS[request.param]().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return layer


def points(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    torsions = (2 * torch.rand(n, N_TORSIONS, generator=generator, dtype=torch.float64) - 1) * math.pi
    stiff = 3 * torch.randn(n, N_STIFF, generator=generator, dtype=torch.float64)
    return torsions, stiff


def test_inverse_undoes_forward(layer):
    torsions, stiff = points(500)
    moved_torsions, moved_stiff, log_det = layer(torsions, stiff)
    back_torsions, back_stiff, inverse_log_det = layer.inverse(moved_torsions, moved_stiff)
    turn = (back_torsions - torsions + math.pi) % (2 * math.pi) - math.pi
    torch.testing.assert_close(turn, torch.zeros_like(turn), atol=1e-7, rtol=0)
    torch.testing.assert_close(back_stiff, stiff, atol=1e-7, rtol=0)
    torch.testing.assert_close(inverse_log_det, -log_det, atol=1e-6, rtol=0)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_det_equals_that_of_autograds_jacobian(layer, direction):
    torsions, stiff = points(20)

    def flat(point):
        new_torsions, new_stiff, _ = getattr(layer, direction)(
            point[:N_TORSIONS][None], point[N_TORSIONS:][None]
        )
        return torch.cat([new_torsions[0], new_stiff[0]])

    log_det = getattr(layer, direction)(torsions, stiff)[2]
    for point, value in zip(torch.cat([torsions, stiff], dim=1), log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(flat, point)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, value, atol=1e-9, rtol=1e-9)


def test_every_parameter_gets_a_gradient(layer):
    torsions, stiff = points(200)
    new_torsions, new_stiff, log_det = layer(torsions, stiff)
    (new_torsions.sin().sum() + new_stiff.square().sum() + log_det.sum()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_a_new_layer_is_the_identity():
    for make in LAYERS.values():
        layer = make().double()
        torsions, stiff = points(50)
        new_torsions, new_stiff, log_det = layer(torsions, stiff)
        torch.testing.assert_close(new_torsions, torsions)
        torch.testing.assert_close(new_stiff, stiff)
        torch.testing.assert_close(log_det, torch.zeros_like(log_det), atol=1e-12, rtol=0)


def test_torsion_maps_are_smooth_across_the_seam():
    layer = LAYERS["marginal torsion splines"]().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    step = 1e-7
    stiff = torch.zeros(2, N_STIFF, dtype=torch.float64)
    sides = torch.tensor([[-math.pi + step], [math.pi - step]], dtype=torch.float64).expand(2, N_TORSIONS)
    values, _, log_det = layer(sides, stiff)
    turn = (values[0] - values[1] + math.pi) % (2 * math.pi) - math.pi
    assert turn.abs().max() < 1e-4
    assert abs(log_det[0] - log_det[1]) < 1e-4
