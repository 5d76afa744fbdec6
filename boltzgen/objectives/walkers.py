"""Walkers beside the model: forward KL on a population moved by local dynamics and by the model's proposals.

The reverse KL learns nothing about basins that the model has left. Walkers stay in theirs: started in every
one that seeds found, they make the forward KL pull the model there. Dynamics alone would keep the populations
that the walkers were started with; model samples taken as independence proposals with a Metropolis test
correct these, the better the better the model is (Gabrié, Rotskoff and Vanden-Eijnden, PNAS 119, e2109420119
(2022)). Both moves leave p invariant, so that the forward KL has its minimum at p.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.models.flow import FlowModel
from boltzgen.models.model import Internal
from boltzgen.sampling.dynamics import Langevin, LangevinState


@dataclass(frozen=True)
class Proposals:
    """Model samples: positions in nm, reduced energies u at the target's temperature, and log q."""

    positions: Float[Tensor, "proposals atoms 3"]
    reduced_energies: Float[Tensor, " proposals"]
    log_prob: Float[Tensor, " proposals"]


def walker_likelihood(
    model: FlowModel, positions: Float[Tensor, "walkers atoms 3"]
) -> tuple[Float[Tensor, ""], Float[Tensor, " walkers"]]:
    """−E[log q(x)] over ``positions`` (nm), and log q of each, −inf outside the coordinates' ranges.

    Walkers outside (another stereoisomer) do not enter the mean.
    """
    with torch.no_grad():
        torsions, stiff, log_det = model.coordinates.from_positions(positions)
        inside = torch.nonzero(torch.isfinite(log_det + stiff.sum(1) + torsions.sum(1))).flatten()
    log_p = model.internal_log_prob(Internal(torsions[inside], stiff[inside]))
    log_p = log_p - log_det[inside] - model.coordinates.log_multiplicity
    log_prob = torch.full_like(log_det, -math.inf).index_copy(0, inside, log_p.detach())
    return -log_p.sum() / max(len(inside), 1), log_prob


def accepted_proposals(
    walker_log_weights: Float[Tensor, " walkers"],
    proposal_log_weights: Float[Tensor, " walkers"],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Metropolis test of independence proposals: accept with min(1, w(x′)/w(x)), w = p̃/q. [walkers] bool.

    A walker where p̃ is zero (log w = −inf) takes any proposal whose weight is not.
    """
    uniform = torch.rand(
        len(walker_log_weights), generator=generator, dtype=torch.float64, device=walker_log_weights.device
    )
    gain = proposal_log_weights.double() - walker_log_weights.double()
    return torch.isfinite(proposal_log_weights) & (uniform.log() < gain)


class Walkers:
    """A population of walkers and the counts of what became of it.

    dynamics: the local moves; its target is that of the training. starts: [starts, atoms, 3] in nm, from
    which ``number`` walkers start: each of them in turn, or a random choice where there are more.
    """

    def __init__(
        self,
        dynamics: Langevin,
        starts: Float[Tensor, "starts atoms 3"],
        number: int,
        generator: torch.Generator,
    ) -> None:
        if len(starts) == 0:
            raise InputError("Walkers need starting positions; give at least one conformation.")
        order = torch.randperm(len(starts), generator=generator, device=starts.device)
        chosen = order[torch.arange(number, device=starts.device) % len(starts)]
        self.dynamics = dynamics
        self.state: LangevinState = dynamics.init(starts[chosen], generator)
        self.replaced = 0
        self.proposed = 0
        self.accepted = 0

    @property
    def positions(self) -> Float[Tensor, "walkers atoms 3"]:
        """nm, at the temperature of the last move."""
        return self.state.public_positions

    @property
    def acceptance(self) -> float:
        """Share of the model's proposals accepted so far."""
        return self.accepted / max(self.proposed, 1)

    def state_dict(self) -> dict[str, Any]:
        """Positions, velocities, energies and gradients of the walkers, and the counts."""
        counts = {"replaced": self.replaced, "proposed": self.proposed, "accepted": self.accepted}
        return {**vars(self.state), **counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` returned, on the device where the walkers are."""
        device = self.state.positions.device
        names = [field.name for field in fields(LangevinState)]
        self.state = LangevinState(**{name: state[name].to(device) for name in names})
        self.replaced, self.proposed = state["replaced"], state["proposed"]
        self.accepted = state["accepted"]

    def move(self, n_steps: int, temperature: float, generator: torch.Generator | None = None) -> None:
        """``n_steps`` of dynamics at ``temperature`` (K); a walker that blows up is replaced and counted."""
        self.state, run = self.dynamics.at_temperature(temperature).run(self.state, n_steps, generator)
        self.replaced += run.replaced

    def exchange(
        self,
        log_prob: Float[Tensor, " walkers"],
        proposals: Proposals,
        inverse_temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Offers walkers a model sample each, as far as these go; β = ``inverse_temperature``: towards p^β.

        log_prob: log q of the walkers in the model that made the proposals, −inf where p is zero: such a
        walker has left the molecule's stereochemistry, is replaced, and is counted as replaced.
        """
        n = min(len(log_prob), len(proposals.log_prob))
        offered = torch.randperm(len(log_prob), generator=generator, device=log_prob.device)[:n]
        outside = ~torch.isfinite(log_prob[offered])
        u = self.state.energy[offered].double() / self.dynamics.target.kT
        here = torch.where(outside, -math.inf, -inverse_temperature * u - log_prob[offered].double())
        there = (
            -inverse_temperature * proposals.reduced_energies[:n].double() - proposals.log_prob[:n].double()
        )
        accept = accepted_proposals(here, there, generator)
        self.replaced += int((accept & outside).sum())
        self.proposed += n
        self.accepted += int(accept.sum())
        if bool(accept.any()):
            self._put(offered[accept], proposals.positions[:n][accept], generator)

    def _put(self, chosen: Tensor, positions: Tensor, generator: torch.Generator | None) -> None:
        """Walkers ``chosen`` continue at ``positions`` with thermal velocities."""
        fresh = self.dynamics.init(positions, generator)
        state = self.state
        self.state = LangevinState(
            state.positions.index_copy(-1, chosen, fresh.positions),
            state.velocities.index_copy(-1, chosen, fresh.velocities),
            state.energy.index_copy(0, chosen, fresh.energy),
            state.gradient.index_copy(-1, chosen, fresh.gradient),
        )
