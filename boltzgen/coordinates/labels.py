"""Labels of equivalent atoms: put in one order, folded into one period of each rotor, drawn at random again.

Every rule exchanges labels by an automorphism of the molecular graph, so that neither energy nor density
changes. Rules with larger exchanges act first; what is inside an exchanged branch is put in order afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.coordinates.groups import TURN
from boltzgen.coordinates.placement import Placement

MOST_PASSES = 3


@dataclass(frozen=True)
class LabelRule:
    """One exchange of labels. ``others``: neighbours of ``centre`` whose azimuths in its frame decide.

    "order": exchange where the azimuths of the three (or two) do not ascend. "gap": exchange where the gap
    from the first to the second of two is outside (``low``, ``low`` + ``width``). "rotor": pass labels on
    until the mean torsion is in [``low``, ``low`` + 2π/n). ``permutation`` g relabels: x'[i] = x[g[i]].
    ``images``: how many reachable labelled copies of the domain the rule folds together (1 where the copies
    cannot be reached without breaking bonds or inverting a centre).
    """

    kind: Literal["order", "gap", "rotor"]
    centre: int
    others: tuple[int, ...]
    permutation: tuple[int, ...]
    low: float = 0.0
    width: float = TURN
    images: int = 1

    @property
    def moved(self) -> int:
        """Number of atoms that change their label."""
        return sum(i != image for i, image in enumerate(self.permutation))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LabelRule:
        tuples = {key: tuple(config[key]) for key in ("others", "permutation")}
        return cls(**(config | tuples))


@dataclass(frozen=True)
class LabelRules:
    """All rules of a molecule, in the order in which they act.

    ``skeletal``: permutations of rings and other parts that only move as a whole, the identity first; the
    first one is taken with which the neighbours of every ``handed`` (centre, neighbours) ascend. ``rules``
    follow. ``stereo`` (centre, four points about it and the sign of their volume, as in ``StereoElements``)
    and ``double_bonds``
    (a, b, c, d, +1 where a and d are on one side of b=c, −1 where not) are kept.
    """

    skeletal: tuple[tuple[int, ...], ...]
    handed: tuple[tuple[int, ...], ...]
    rules: tuple[LabelRule, ...]
    stereo: tuple[tuple[int, ...], ...] = ()
    double_bonds: tuple[tuple[int, ...], ...] = ()

    @property
    def log_multiplicity(self) -> float:
        return math.fsum(math.log(rule.images) for rule in self.rules)

    def config(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LabelRules:
        return cls(
            tuple(tuple(p) for p in config["skeletal"]),
            tuple(tuple(centre) for centre in config["handed"]),
            tuple(LabelRule.from_config(rule) for rule in config["rules"]),
            tuple(tuple(element) for element in config["stereo"]),
            tuple(tuple(element) for element in config["double_bonds"]),
        )

    def canonicalise(
        self, x: Float[Tensor, "batch atoms 3"], placement: Placement
    ) -> Float[Tensor, "batch atoms 3"]:
        """x with labels exchanged into the fundamental domain; unchanged where no rule leads there."""
        return self._relabelled(x, self.rules, placement)

    def contains(self, x: Float[Tensor, "batch atoms 3"], placement: Placement) -> Tensor:
        """Whether x is in the domain or is one of its images by rotors and inversions: bool [batch].

        Every exchange that reaches no image (``images`` 1) finds nothing to do, every handed centre has its
        order, every stereo element its sign. x is taken with the labels it has.
        """
        tree = x.permute(2, 1, 0)[:, placement.order]
        inside = self.keep_stereo(x, placement)
        for rule in self.rules:
            if rule.images == 1:
                inside &= _exchanges(rule, tree, placement) == 0
        return inside

    def _relabelled(self, x: Tensor, rules: Sequence[LabelRule], placement: Placement) -> Tensor:
        """x with its skeleton turned and ``rules`` followed until none of them changes anything."""
        order, back = placement.order, placement.back
        tree = x.permute(2, 1, 0)[:, order]
        if len(self.skeletal) > 1:
            tree = self._turn_skeleton(tree, placement)
        for _ in range(MOST_PASSES):
            changed = False
            for rule in rules:
                times = _exchanges(rule, tree, placement)
                changed |= bool((times > 0).any())
                permutation = back[torch.tensor(rule.permutation, device=x.device)[order]]
                for repeat in range(1, int(times.max()) + 1 if times.numel() else 0):
                    tree = torch.where(times >= repeat, tree[:, permutation], tree)
            if not changed:
                break
        return tree[:, back].permute(2, 1, 0)

    def in_order(self, x: Float[Tensor, "batch atoms 3"], placement: Placement) -> Tensor:
        """Whether every handed centre of x has its order: bool [batch]. False: another stereoisomer."""
        return _handed(x.permute(2, 1, 0)[:, placement.order], self.handed, placement)

    def keep_stereo(self, x: Float[Tensor, "batch atoms 3"], placement: Placement) -> Tensor:
        """Whether handed centres have their order, stereo elements their sign: bool [batch]."""
        kept = self.in_order(x, placement)
        for centre, *four, sign in self.stereo:
            first, *others = torch.nn.functional.normalize(x[:, four] - x[:, centre, None], dim=-1).unbind(1)
            a, b, c = (other - first for other in others)
            kept &= (torch.linalg.cross(a, b) * c).sum(-1) * sign > 0
        for *atoms, sign in self.double_bonds:
            a, b, c, d = (x[:, atom] for atom in atoms)
            sides = torch.linalg.cross(a - b, c - b), torch.linalg.cross(d - c, c - b)
            kept &= (sides[0] * sides[1]).sum(-1) * sign > 0
        return kept

    def _turn_skeleton(self, tree: Tensor, placement: Placement) -> Tensor:
        order, back = placement.order, placement.back
        result, found = tree, _handed(tree, self.handed, placement)
        for permutation in self.skeletal[1:]:
            turned = tree[:, back[torch.tensor(permutation, device=tree.device)[order]]]
            fits = _handed(turned, self.handed, placement) & ~found
            result, found = torch.where(fits, turned, result), found | fits
        return result

    def randomise(
        self, x: Float[Tensor, "batch atoms 3"], placement: Placement, generator: torch.Generator | None
    ) -> Float[Tensor, "batch atoms 3"]:
        """A uniformly random one of the exp(log_multiplicity) images of each x in the domain.

        A permutation may carry the hydrogens of one branch to another in the wrong order: they are put in
        order again, without which the image would lie outside the configurations that Z counts.
        """
        ordering = [rule for rule in self.rules if rule.images == 1]
        ordered_atoms = {rule.centre for rule in ordering}.union(centre[0] for centre in self.handed)
        for rule in reversed(self.rules):
            if rule.images == 1:
                continue
            device = generator.device if generator is not None else x.device
            times = torch.randint(rule.images, (len(x), 1, 1), generator=generator, device=device).to(
                x.device
            )
            permutation = torch.tensor(rule.permutation, device=x.device)
            turned = x
            for repeat in range(1, rule.images):
                turned = turned[:, permutation]
                x = torch.where(times == repeat, turned, x)
            if any(rule.permutation[atom] != atom for atom in ordered_atoms):
                x = self._relabelled(x, ordering, placement)
        return x


def _exchanges(rule: LabelRule, tree: Tensor, placement: Placement) -> Tensor:
    """How often the rule's permutation has to be applied: [batch]."""
    centre = int(placement.back[rule.centre])
    others = placement.back[torch.tensor(rule.others, device=tree.device)]
    azimuths = placement.azimuths(tree.detach(), centre, others)
    if rule.kind == "order":
        return (~_ascending(azimuths)).long()
    gaps = torch.remainder(torch.roll(azimuths, -1, 0) - azimuths, TURN)
    if rule.kind == "gap":
        return ((gaps[0] < rule.low) | (gaps[0] > rule.low + rule.width)).long()
    n = len(rule.others)
    mean = azimuths[0] + torch.cumsum(gaps[:-1], 0).sum(0) / n
    periods = torch.floor(torch.remainder(mean - rule.low, TURN) * n / TURN).long()
    return torch.remainder(-periods, n)


def _handed(tree: Tensor, handed: tuple[tuple[int, ...], ...], placement: Placement) -> Tensor:
    result = torch.ones(tree.shape[-1], dtype=torch.bool, device=tree.device)
    for centre, *others in handed:
        indices = placement.back[torch.tensor(others, device=tree.device)]
        result &= _ascending(placement.azimuths(tree.detach(), int(placement.back[centre]), indices))
    return result


def _ascending(azimuths: Tensor) -> Tensor:
    """Whether three azimuths [3, batch] ascend cyclically, or the second of two [2, batch] is within π."""
    second = torch.remainder(azimuths[1] - azimuths[0], TURN)
    return second < (torch.remainder(azimuths[2] - azimuths[0], TURN) if len(azimuths) > 2 else 0.5 * TURN)
