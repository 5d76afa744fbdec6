"""What a molecule's coordinates sample and what they keep, as a list that a person can read before paying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from boltzgen.coordinates.groups import TURN, Group
from boltzgen.coordinates.internal import MolecularCoordinates

if TYPE_CHECKING:
    from boltzgen.molecules.molecule import Molecule

LARGE_RING = (
    9  # atoms: the puckers of larger ones, with all their label images, are more than frames can show
)


@dataclass(frozen=True)
class Feature:
    """One feature of the coordinates.

    ``kind``: "torsion", "amide", "ester" or "rotor": sampled all round the circle; "double bond": kept on
    its side; "ring": closed by construction; "basins": coordinates of a ring system or nitrogen that start
    from a mixture; "inversion": a nitrogen folded into one of its two mirror images; "handedness": a centre
    kept; "line": an atom placed in line with a bond. "double bond, checked" and "handedness, checked": not
    held by a range of the coordinates, be it that a ring closes there or that frames leave no room for one,
    so that samples may lose it, which then have no weight. "double bond, free": without E or Z, and turned
    all round. ``atoms``: indices that name it. ``count``: periods of a rotor, basins of a mixture,
    otherwise 1.
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
    features += _double_bonds(coordinates)
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
    held = {group.centre: len(group.children) for group in coordinates.groups if _holds_handedness(group)}
    features += [
        Feature("handedness" if held.get(centre) == len(others) else "handedness, checked", (centre,))
        for centre, *others in coordinates.labels.handed
    ]
    features += [Feature("line", (atom,)) for atom in range(zmatrix.n_atoms) if zmatrix.linear[atom]]
    return features


def coverage_warnings(molecule: Molecule) -> list[str]:
    """A sentence for a molecule with rings that no one can promise to cover; none for others."""
    rings = molecule.rdmol.GetRingInfo()
    sizes = [
        len(atoms)
        for atoms, bonds in zip(rings.AtomRings(), rings.BondRings(), strict=True)
        if len(atoms) >= LARGE_RING
        and not all(molecule.rdmol.GetBondWithIdx(bond).GetIsAromatic() for bond in bonds)
    ]
    if not sizes:
        return []
    which = ", ".join(f"ring of {size} atoms" for size in sorted(sizes))
    return [f"{which}: puckers are those found from the seed conformers; coverage is not guaranteed"]


def _double_bonds(coordinates: MolecularCoordinates) -> list[Feature]:
    """Bonds that only turn as double bonds do, and those of rings that are E or Z."""
    sides = {}
    for group in coordinates.unbounded.stiff_groups:
        bond = coordinates.zmatrix.axis[group.centre], group.centre
        if group.torsion == "double" or group.width < TURN:
            sides[frozenset(bond)] = Feature(
                "double bond" if group.width < TURN else "double bond, free", bond
            )
    for _, b, c, _, _ in coordinates.labels.double_bonds:
        if (found := sides.get(frozenset((b, c)))) is None or found.kind != "double bond":
            sides[frozenset((b, c))] = Feature("double bond, checked", (b, c))
    return list(sides.values())


def _holds_handedness(group: Group) -> bool:
    """Whether no values of the gaps of ``group`` invert its centre, if all neighbours but one are in it."""
    return group.gaps == "convex" or (group.gaps == "pair" and group.gap_width < TURN)
