"""Distances, angles and dihedrals as expression graphs of Cartesian coordinates.

They are OpenMM's: angles in radians, dihedrals in (−π, π] with the IUPAC sign. Each is written so that value
and derivative stay finite where atoms coincide or stand in a line.
"""

from collections.abc import Callable

from boltzgen.codegen.graphs import Node, call, variable

Vector = tuple[Node, Node, Node]


def position(particle: int) -> Vector:
    """Coordinates of the ``particle``-th atom of a term, counted from 1."""
    return (variable(f"x{particle}"), variable(f"y{particle}"), variable(f"z{particle}"))


def difference(a: Vector, b: Vector) -> Vector:
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def dot(a: Vector, b: Vector) -> Node:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def norm(a: Vector) -> Node:
    return call("norm", dot(a, a))


def distance(a: Vector, b: Vector) -> Node:
    return norm(difference(a, b))


def angle(a: Vector, b: Vector, c: Vector) -> Node:
    """∠abc in [0, π], as atan2(|v×w|, v·w): accurate near 0 and π where arccos is not."""
    v, w = difference(a, b), difference(c, b)
    return call("atan2", norm(cross(v, w)), dot(v, w))


def dihedral(a: Vector, b: Vector, c: Vector, d: Vector) -> Node:
    """Torsion a–b–c–d: atan2(|v₂| v₁·(v₂×v₃), (v₁×v₂)·(v₂×v₃)) with v₁ = b−a, v₂ = c−b, v₃ = d−c."""
    v1, v2, v3 = difference(b, a), difference(c, b), difference(d, c)
    n1, n2 = cross(v1, v2), cross(v2, v3)
    return call("atan2", norm(v2) * dot(v1, n2), dot(n1, n2))


OF_PARTICLES: dict[str, tuple[int, Callable[..., Node]]] = {
    "distance": (2, distance),
    "angle": (3, angle),
    "dihedral": (4, dihedral),
}
OF_POINTS = {f"point{name}": entry for name, entry in OF_PARTICLES.items()}
