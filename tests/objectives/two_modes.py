"""Two modes on the torus whose weights are known, and a flow that was trained on one of them."""

import math

import torch
from torch import Tensor

from boltzgen.energies.target import EvaluationCounter
from boltzgen.models.flow import FlowConfig, FlowModel
from boltzgen.models.model import Internal
from boltzgen.objectives.likelihood import negative_log_likelihood
from boltzgen.units import thermal_energy
from tests.models.toy_coordinates import ToyCoordinates

KAPPA = 6.0
CENTRES = (-1.6, 1.4)
WEIGHTS = (0.7, 0.3)
N_TORSIONS, N_STIFF = 2, 1
SMALL = FlowConfig(
    torsion_couplings=4, torsion_bins=8, torsion_hidden=24, stiff_couplings=1, stiff_hidden=8, spline_bins=4
)


class TwoModes:
    """p = Σ_k w_k Π_i vM(τ_i; m_k, κ) · N(y; 0, 1), times exp(log_Z); kT = 1."""

    kT = 1.0
    temperature = 1.0 / thermal_energy(1.0)
    log_Z = 0.8

    def __init__(self) -> None:
        self.counter = EvaluationCounter()

    @property
    def evaluations(self) -> int:
        return self.counter.count

    def reduced_energy(self, x: Tensor) -> Tensor:
        self.counter.count += len(x)
        torsions, stiff = x.flatten(1)[:, :N_TORSIONS], x.flatten(1)[:, N_TORSIONS:]
        bessel = math.log(2 * math.pi * torch.special.i0(torch.tensor(KAPPA, dtype=torch.float64)))
        modes = [
            math.log(weight) + (KAPPA * (torsions - centre).cos() - bessel).sum(1)
            for weight, centre in zip(WEIGHTS, CENTRES, strict=True)
        ]
        normal = 0.5 * stiff.square().sum(1) + 0.5 * N_STIFF * math.log(2 * math.pi)
        return normal - torch.logsumexp(torch.stack(modes), 0) - self.log_Z

    def reduced_energy_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = self.reduced_energy(x)
            (gradient,) = torch.autograd.grad(u.sum(), x)
        return u.detach(), gradient


def mode_frames(mode: int, n: int, generator: torch.Generator) -> Internal:
    """Samples of one mode alone, by rejection against the uniform density on the torus."""
    torsions = torch.empty(0, N_TORSIONS, dtype=torch.float64)
    while len(torsions) < n:
        tried = (torch.rand(8 * n, N_TORSIONS, generator=generator, dtype=torch.float64) * 2 - 1) * math.pi
        log_accept = KAPPA * ((tried - CENTRES[mode]).cos() - 1).sum(1)
        kept = torch.rand(8 * n, generator=generator, dtype=torch.float64).log() < log_accept
        torsions = torch.cat([torsions, tried[kept]])
    stiff = torch.randn(n, N_STIFF, generator=generator, dtype=torch.float64)
    return Internal(torsions[:n], stiff)


def one_mode_model(steps: int = 150) -> FlowModel:
    """A flow trained by likelihood on the first mode only."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = FlowModel(ToyCoordinates(N_TORSIONS, N_STIFF), SMALL).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        negative_log_likelihood(model, mode_frames(0, 256, generator)).backward()
        optimizer.step()
    return model


def second_mode_weight(model: FlowModel, n: int = 20_000) -> float:
    """Share of the model's own samples nearer the second centre, unweighted."""
    with torch.no_grad():
        x, _ = model.sample_with_log_prob(n, torch.Generator().manual_seed(99))
    torsions = x.flatten(1)[:, :N_TORSIONS]
    nearness = torch.stack([(torsions - centre).cos().sum(1) for centre in CENTRES])
    return float((nearness[1] > nearness[0]).double().mean())
