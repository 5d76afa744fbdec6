"""Coordinates of a molecule from its graph and thermal frames."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from rdkit import Chem
from torch import Tensor

from boltzgen.coordinates.base import StiffBase
from boltzgen.coordinates.closing import ClosingDistances, closing_distances
from boltzgen.coordinates.closures import Closures, closure_passes
from boltzgen.coordinates.equivalence import fold_rules, handed_centres, order_rules, skeletal_permutations
from boltzgen.coordinates.groups import PLANAR, TURN, Group
from boltzgen.coordinates.images import with_images
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.labels import LabelRule, LabelRules
from boltzgen.coordinates.layout import child_groups, choose_tree
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.rings import (
    Block,
    basin_shares,
    blocks_with_basins,
    flexible_rings,
    mixture,
)
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.errors import InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.symmetry import MolecularGraph

MARGIN = 0.05  # radians that frames keep from the bounds of a restricted range


def build_coordinates(
    molecule: Molecule,
    frames: np.ndarray | Tensor,
    reduced_energies: np.ndarray | Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    marks: Sequence[int] | None = None,
) -> MolecularCoordinates:
    """Coordinates whitened on ``frames`` [n, atoms, 3] (nm): thermal configurations from all known basins.

    Handedness and double-bond sides are those of the first frame. Raises InputError where frames show
    different stereoisomers. The basins of rings are weighted by their free energies, estimated from the
    frames' ``reduced_energies`` [n] if these are given, or else by their shares of the frames. ``marks``
    [atoms]: atoms of different marks do not exchange labels (see ``energies/symmetry.py``). Geometry is in
    float64; the result is in ``dtype``.
    """
    x = torch.as_tensor(np.asarray(frames), dtype=torch.float64)
    molecule.require_positions(x.numpy())
    graph = MolecularGraph.from_rdmol(molecule.rdmol)
    graph = graph if marks is None else graph.marked(marks)
    parts = _Parts.of(molecule, graph, x)
    zmatrix, groups, folds = parts.zmatrix, parts.groups, parts.folds
    placement = parts.placement

    ordered = parts.labels([rule for rule in folds if rule.kind == "gap"])
    x = ordered.canonicalise(x, placement)
    wrong = int((~ordered.in_order(x, placement)).sum())
    if wrong:
        raise InputError(
            f"{wrong} of {len(x)} frames of '{molecule.smiles}' show another stereoisomer than the first: "
            "give frames of one stereoisomer."
        )
    x, source = with_images(x, graph, parts.flexible, ordered, placement, groups)
    sided = {frozenset((b, c)) for _, b, c, _ in molecule.stereo.double_bonds.tolist()}
    groups = [
        _with_ranges(
            group,
            _azimuths(placement, group, x),
            group.centre in parts.handed,
            frozenset((zmatrix.axis[group.centre], group.centre)) in sided,
        )
        for group in groups
    ]
    groups = [_with_closure_seam(zmatrix, group, x) for group in groups]
    seams = {group.centre: group.low for group in groups}
    folds = [_with_seam(rule, seams[rule.centre]) if rule.kind == "rotor" else rule for rule in folds]
    labels = parts.labels(folds, *_stereo(molecule))
    x = labels.canonicalise(x, placement)
    coordinates = MolecularCoordinates(zmatrix, groups, labels)
    energies = None if reduced_energies is None else torch.as_tensor(reduced_energies).double()[source]
    blocks = blocks_with_basins(graph, parts.rings, x)
    several = frozenset().union(*(block.atoms for block in blocks))
    closing = [
        closing_distances(graph, zmatrix, groups, atoms)
        for atoms in (frozenset(range(graph.n_atoms)) - several, *(block.atoms for block in blocks))
    ]
    _whiten(coordinates, blocks, closing, x, energies)
    return coordinates.to(dtype)


def in_label_order(
    molecule: Molecule, frames: np.ndarray | Tensor
) -> tuple[Float[Tensor, "frames atoms 3"], Bool[Tensor, " frames"], Bool[Tensor, " frames"]]:
    """``frames`` [n, atoms, 3] (nm) of one stereoisomer with the labels of prochiral atoms as the first has.

    Labels of equivalent atoms are exchanged that no motion exchanges, as those of the two hydrogens of a CH₂
    or =CH₂; those that a rotor or an inverting nitrogen exchanges stay. A molecule may be chiral where it has
    no label, as spiro compounds of two like halves are: a frame that only its mirror image brings into the
    order of the first is replaced by that.

    Returns
    -------
    Tensor
        The frames, float64.
    Tensor
        Which of them are mirrored, bool [n].
    Tensor
        Which of them are in the order of the first, bool [n]. The others show another stereoisomer.
    """
    x = torch.as_tensor(np.asarray(frames), dtype=torch.float64)
    molecule.require_positions(x.numpy())
    parts = _Parts.of(molecule, MolecularGraph.from_rdmol(molecule.rdmol), x)
    groups = {group.centre: group for group in parts.groups}
    fixed = []
    for rule in parts.folds:
        if rule.images == 1:
            group = groups[rule.centre]
            torsion = float(group.torsion_value(_azimuths(parts.placement, group, x[:1])))
            fixed.append(_with_seam(rule, torsion - 0.5 * group.width))
    labels = parts.labels(fixed)
    upright = labels.canonicalise(x, parts.placement)
    reflected = labels.canonicalise(x * torch.tensor([1.0, 1.0, -1.0], dtype=x.dtype), parts.placement)
    fits = labels.in_order(upright, parts.placement)
    mirrored = ~fits & labels.in_order(reflected, parts.placement)
    return torch.where(mirrored[:, None, None], reflected, upright), mirrored, fits | mirrored


@dataclass(frozen=True)
class _Parts:
    """What is decided before the ranges of coordinates: tree, groups, and which labels are exchanged how.

    ``handed``: centres that keep their handedness, with their neighbours in order; ``fixed``: those that no
    exchange of branches inverts. ``ordering`` and ``folds``: the rules.
    """

    rings: list[tuple[int, ...]]
    flexible: list[tuple[int, ...]]
    zmatrix: ZMatrix
    placement: Placement
    groups: list[Group]
    handed: dict[int, tuple[int, ...]]
    fixed: dict[int, tuple[int, ...]]
    ordering: list[LabelRule]
    folds: list[LabelRule]
    skeletal: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, molecule: Molecule, graph: MolecularGraph, x: Tensor) -> _Parts:
        """For frames x [n, atoms, 3], the first of which shows the order of labels."""
        zmatrix = choose_tree(graph, x)
        rings = _rings(molecule)
        flexible = flexible_rings(rings, x)
        groups = child_groups(graph, zmatrix, molecule.rdmol, x[0], flexible)
        groups = _solvable(zmatrix, groups)
        handed = handed_centres(graph, zmatrix, x)
        ordering, fixed = order_rules(graph, handed)
        groups, folds = fold_rules(graph, zmatrix, groups, x, fixed)
        skeletal = skeletal_permutations(graph, fixed)
        placement = Placement(zmatrix)
        return cls(rings, flexible, zmatrix, placement, groups, handed, fixed, ordering, folds, skeletal)

    def labels(self, folds: Sequence[LabelRule], *stereo: Any) -> LabelRules:
        """Label rules with ``folds``; ``stereo``: centres and double bonds as ``LabelRules`` takes them."""
        centres = tuple((centre, *others) for centre, others in self.fixed.items())
        return LabelRules(self.skeletal, centres, _sorted([*self.ordering, *folds]), *stereo)


@torch.no_grad()
def _whiten(
    coordinates: MolecularCoordinates,
    blocks: list[Block],
    closing: list[ClosingDistances],
    x: Tensor,
    reduced_energies: Tensor | None,
) -> None:
    """Fits whitening and base of ``coordinates`` to frames x [n, atoms, 3] in the domain.

    ``closing``: the distances to hold in rings of one basin, and in each of the ``blocks``.
    """
    unbounded = coordinates.unbounded
    torsions, raw, log_det = unbounded.measure(x.permute(2, 1, 0))
    coordinates.circle.fit(torsions)
    links = unbounded.links()
    taken: set[int] = set()
    indices: list[list[int]] = []
    for block in blocks:
        own = [i for i, link in enumerate(links) if i not in taken and block.atoms.intersection(link)]
        taken.update(own)
        indices.append(own)
    pooled = torch.zeros(len(x))
    if blocks:
        several = torch.stack([block.basins for block in blocks])
        pooled = several.unique(dim=1, return_inverse=True)[1]
        pooled[(several < 0).any(0)] = -1
    whitening = coordinates.whitening
    slopes = closing[0].slopes(unbounded, raw[:, pooled >= 0].mean(1, keepdim=True))
    coordinates.shift.fit(torsions, raw, [i for own in indices for i in own])
    shifted = raw - coordinates.shift(torsions)
    whitening.fit(shifted, pooled, indices, closing[0].of(x), slopes[0])
    y, _ = whitening.whiten(shifted)
    mixtures = []
    for own, block, distances in zip(indices, blocks, closing[1:], strict=True):
        means = [raw[:, block.basins == k].mean(1) for k in range(block.n_basins)]
        slopes = distances.slopes(unbounded, torch.stack(means, 1)) @ whitening.factor
        mixtures.append(mixture(own, y, block.basins, distances.of(x), slopes))
    coordinates.base = StiffBase(coordinates.n_stiff, mixtures)
    if reduced_energies is not None:
        work = reduced_energies - log_det - coordinates.circle.unstretch(torsions)[1]
        for part, block in zip(mixtures, blocks, strict=True):
            part.set_weights(basin_shares(part, coordinates.base, y.T, block.basins, work))


def _rings(molecule: Molecule) -> list[tuple[int, ...]]:
    """The smallest set of smallest rings, each in the order of its bonds."""
    return [tuple(ring) for ring in Chem.GetSymmSSSR(Chem.Mol(molecule.rdmol))]


def _stereo(molecule: Molecule) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Stereocentres and double bonds of ``molecule`` as ``LabelRules`` takes them."""
    stereo = molecule.stereo
    for elements, signs in ((stereo.centres, stereo.handedness), (stereo.double_bonds, stereo.cis)):
        yield tuple((*atoms, sign) for atoms, sign in zip(elements.tolist(), signs.tolist(), strict=True))


def _sorted(rules: Sequence[LabelRule]) -> tuple[LabelRule, ...]:
    """Larger exchanges first; at one centre order before rotation."""
    return tuple(sorted(rules, key=lambda rule: (-rule.moved, rule.kind == "rotor")))


def _with_seam(rule: LabelRule, low: float) -> LabelRule:
    return LabelRule(
        rule.kind, rule.centre, rule.others, rule.permutation, low, TURN / len(rule.others), rule.images
    )


def _azimuths(placement: Placement, group: Group, x: Tensor) -> Tensor:
    indices = placement.back[torch.tensor(group.children)]
    tree = x.permute(2, 1, 0)[:, placement.order]
    return placement.azimuths(tree, int(placement.back[group.centre]), indices)


def _with_ranges(group: Group, azimuths: Tensor, handed: bool, sided: bool) -> Group:
    """``group`` with the seam of its torsion and the bounds of its gaps, from azimuths [m, frames].

    ``handed``: its centre keeps its handedness; ``sided``: its bond is a double bond, cis or trans.
    """
    torsion, gaps = group.torsion_value(azimuths), group.gap_values(azimuths)
    if group.gaps == "convex" and not (handed and bool((gaps < math.pi - MARGIN).all())):
        group = group.changed(gaps="simplex")
    if group.gaps == "pair" and handed:
        for low in (0.0, math.pi):
            if bool(((gaps[0] > low + MARGIN) & (gaps[0] < low + math.pi - MARGIN)).all()):
                group = group.changed(gap_low=low, gap_width=math.pi)
    if group.torsion is None or (group.soft and group.fold == 1):
        return group
    if group.fold > 1:
        resultant = torch.exp(1j * group.fold * torsion).sum()
        return group.changed(low=float(resultant.angle()) / group.fold - 0.5 * group.width)
    if group.torsion == "double" or sided:
        centre = float(torch.exp(1j * torsion).sum().angle())
        for flat in (0.0, math.pi):
            if abs(math.remainder(centre - flat, TURN)) < (math.pi / 2 if sided else PLANAR):
                centre = flat
        if bool(
            (torch.remainder(torsion - centre + math.pi, TURN) - math.pi).abs().max() < math.pi / 2 - MARGIN
        ):
            return group.changed(low=centre - math.pi / 2, width=math.pi)
    return group.changed(low=_emptiest(torsion), width=TURN)


def _solvable(zmatrix: ZMatrix, groups: list[Group]) -> list[Group]:
    """``groups`` with as many closures, taken in turn, as do not need each other, as some in cages do."""
    closing: list[Group] = []
    for group in groups:
        if group.closure is not None and closure_passes(zmatrix, [*closing, group]):
            closing.append(group)
    return [group if group in closing else group.changed(closure=None) for group in groups]


def _with_closure_seam(zmatrix: ZMatrix, group: Group, x: Tensor) -> Group:
    if group.closure is None:
        return group
    _, _, chi, _ = Closures(zmatrix, [group]).measure(x.permute(2, 1, 0))
    return group.changed(low=_emptiest(chi[0]), width=TURN)


def _emptiest(angles: Tensor) -> float:
    """The middle of the widest arc without any of ``angles``."""
    around = torch.remainder(angles, TURN).sort().values
    arcs = torch.diff(torch.cat([around, around[:1] + TURN]))
    widest = int(arcs.argmax())
    return float(around[widest] + 0.5 * arcs[widest])
