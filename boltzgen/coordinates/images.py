"""Symmetric images of frames: basins that differ by labels or by reflection alone are equally populated.

The energy of a molecule is unchanged by reflection and by every automorphism of its graph. Images that keep
the handedness of all centres belong to the same ensemble; with them a chair is never without its mirror
chair.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from boltzgen.coordinates.groups import PLANAR, Group
from boltzgen.coordinates.labels import LabelRules
from boltzgen.coordinates.placement import Placement
from boltzgen.molecules.symmetry import MolecularGraph

PROBES = 64  # frames on which it is tried whether an image has the same handedness
LARGEST_TURNED = 8  # atoms: the many basins of larger rings times their images are more than frames can fill


def with_images(
    x: Tensor,
    graph: MolecularGraph,
    rings: list[tuple[int, ...]],
    labels: LabelRules,
    placement: Placement,
    groups: list[Group],
) -> tuple[Tensor, Tensor]:
    """Frames [m, atoms, 3] in the order of ``labels``, and which of x [n, atoms, 3] each is an image of: [m].

    The frames, and their mirror images where these are the same molecule; the labels of ``rings`` up to
    eight atoms are turned at random in each.
    """
    source = torch.arange(len(x))
    if not _axially_handed(placement, groups, x):
        mirrored = labels.canonicalise(x * x.new_tensor([1.0, 1.0, -1.0]), placement)
        if bool(labels.in_order(mirrored, placement).all()):
            x, source = torch.cat([x, mirrored]), source.repeat(2)
    permutations = [tuple(range(x.shape[1]))]
    small = [ring for ring in rings if len(ring) <= LARGEST_TURNED]
    for permutation in ring_automorphisms(graph, small):
        image = labels.canonicalise(x[:PROBES, permutation], placement)
        if bool(labels.in_order(image, placement).all()):
            permutations.append(permutation)
    if len(permutations) == 1:
        return x, source
    table = torch.tensor(permutations)
    chosen = torch.randint(len(table), (len(x),), generator=torch.Generator().manual_seed(0))
    turned = x.gather(1, table[chosen][:, :, None].expand(-1, -1, 3))
    return labels.canonicalise(turned, placement), source


def ring_automorphisms(graph: MolecularGraph, rings: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Automorphisms that carry one bond of a ring onto another or reverse it, the identity left out."""
    identity = tuple(range(graph.n_atoms))
    found: dict[tuple[int, ...], None] = {}
    for ring in rings:
        a, b = ring[:2]
        for target in rings:
            bonds = list(zip(target, target[1:] + target[:1], strict=True))
            for c, d in bonds + [bond[::-1] for bond in bonds]:
                permutation = graph.automorphism({a: c, b: d})
                if permutation is not None and permutation != identity:
                    found[permutation] = None
    return list(found)


def _axially_handed(placement: Placement, groups: list[Group], x: Tensor) -> bool:
    """Whether a double bond's torsion is not flat in frames x, as across an allene: reflection inverts it."""
    tree = x[:1].permute(2, 1, 0)[:, placement.order]
    for group in groups:
        if group.torsion == "double":
            children = placement.back[torch.tensor(group.children)]
            azimuth = placement.azimuths(tree, int(placement.back[group.centre]), children)
            if float(torch.sin(group.torsion_value(azimuth)).abs()) > math.sin(PLANAR):
                return True
    return False
