"""What a molecule's coordinates sample and what they keep, as a list that a person can read before paying."""

from __future__ import annotations

from dataclasses import dataclass

from boltzgen.coordinates.internal import MolecularCoordinates


@dataclass(frozen=True)
class Feature:
    """One feature of the coordinates.

    ``kind``: "torsion", "amide", "ester" or "rotor": sampled all round the circle; "double bond": kept on
    its side; "ring": closed by construction; "basins": coordinates of a ring system or nitrogen that start
    from a mixture; "inversion": a nitrogen folded into one of its two mirror images; "handedness": a centre
    kept; "line": an atom placed in line with a bond. ``atoms``: indices that name it. ``count``: periods of a
    rotor, basins of a mixture, otherwise 1.
    """

    kind: str
    atoms: tuple[int, ...]
    count: int = 1


def describe(coordinates: MolecularCoordinates) -> list[Feature]:
    """The features of ``coordinates``: soft torsions first, in their order."""
    zmatrix, unbounded = coordinates.zmatrix, coordinates.unbounded
    features = [
        Feature(group.torsion or "", tuple(map(int, name.split("-"))), group.fold)
        for group, name in zip(unbounded.soft_groups, coordinates.torsion_names, strict=True)
    ]
    features += [
        Feature("double bond", (zmatrix.axis[group.centre], group.centre))
        for group in unbounded.stiff_groups
        if group.torsion == "double"
    ]
    features += [Feature("ring", tuple(sorted(pair))) for pair in zmatrix.closures]
    links = unbounded.links()
    for block in coordinates.base.blocks:
        members = sorted({links[int(i)][0] for i in block.indices})
        features.append(Feature("basins", tuple(members), len(block.means)))
    features += [
        Feature("inversion", (rule.centre,), rule.images)
        for rule in coordinates.labels.rules
        if rule.kind == "gap"
    ]
    features += [Feature("handedness", (centre[0],)) for centre in coordinates.labels.handed]
    features += [Feature("line", (atom,)) for atom in range(zmatrix.n_atoms) if zmatrix.linear[atom]]
    return features
