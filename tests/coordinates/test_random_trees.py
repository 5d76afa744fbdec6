"""Random trees of atoms, in line here and there, with random ranges of their torsions and gaps.

The other tests have molecules that chemistry makes; these are none. The oracles are finite differences, the
determinant of the whole map by autograd, and distances between atoms.
"""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boltzgen.coordinates.groups import TURN, Group
from boltzgen.coordinates.placement import Placement
from boltzgen.coordinates.unbounded import UnboundedCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix, spanning_tree
from boltzgen.molecules.symmetry import MolecularGraph
from tests.coordinates.oracles import log_det_by_autograd

RANGE = 2.5  # of the unbounded coordinates: logistic functions between 0.08 and 0.92


@st.composite
def trees(draw, least=2, most=9):
    """A tree of atoms with at most four bonds each, in a shuffled order, and some angles of 180°."""
    n = draw(st.integers(least, most))
    names = draw(st.permutations(range(n)))
    bonds: list[tuple[int, int]] = []
    for atom in range(1, n):
        free = [a for a in range(atom) if sum(a in bond for bond in bonds) < 4]
        bonds.append((draw(st.sampled_from(free)), atom))
    pairs = [tuple(sorted((names[i], names[j]))) for i, j in bonds]
    graph = MolecularGraph(((6, 0, 0, ""),) * n, dict.fromkeys(pairs, (1.0, "")))
    straight = [
        (around[0], centre, around[1])
        for centre, around in enumerate(graph.neighbours)
        if len(around) == 2 and draw(st.booleans())
    ]
    root = draw(st.sampled_from([a for a in range(n) if n == 2 or len(graph.neighbours[a]) > 1]))
    second = draw(st.sampled_from(graph.neighbours[root]))
    if any(centre == root for _, centre, _ in straight):  # then no azimuth about it is defined
        straight = [angle for angle in straight if angle[1] != root]
    return spanning_tree(graph, root, second, straight)


@st.composite
def grouped_trees(draw):
    """A tree and groups of its children with random kinds and ranges."""
    tree = draw(trees(least=3))
    groups = []
    for centre in tree.order:
        children = tree.children(centre)
        if not children:
            continue
        gaps = {1: ["none"], 2: ["pair"], 3: ["convex", "simplex"]}[len(children)]
        soft = draw(st.booleans())
        fold = draw(st.integers(1, 3)) if soft else 1
        low = draw(st.floats(-math.pi, 0.0))
        group = Group(
            centre,
            children,
            torsion=None if centre == tree.root else "torsion",
            soft=soft,
            fold=fold,
            mean_anchor=centre != tree.root and len(children) > 1 and draw(st.booleans()),
            low=low,
            width=TURN / fold if soft else draw(st.floats(1.0, TURN)),
            gaps=draw(st.sampled_from(gaps)),
            gap_low=draw(st.floats(0.0, 1.0)),
            gap_width=draw(st.floats(1.0, 4.0)),
        )
        groups.append(group)
    return tree, groups


def random_polar(tree: ZMatrix, generator, batch=3):
    """Bond lengths of 0.1 to 0.2 nm and polar coordinates well inside their ranges, in tree order."""
    n = tree.n_atoms

    def uniform(rows, low, high):
        return low + (high - low) * torch.rand(rows, batch, generator=generator, dtype=torch.float64)

    polar = torch.stack([uniform(n - 2, 0.5, 2.6), uniform(n - 2, -3.0, 3.0)])
    if n > 2:
        polar[1, 0] = 0.0
    rows = [k for k, atom in enumerate(tree.order[2:]) if tree.linear[atom]]
    polar[:, rows] = 0.2 * polar[:, rows]
    return uniform(n - 1, 0.1, 0.2), polar


@given(trees(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_placement_of_a_random_tree_is_measured_again(tree, seed):
    bonds, polar = random_polar(tree, torch.Generator().manual_seed(seed))
    placement = Placement(tree)
    x = placement.place(bonds, polar)
    for k, atom in enumerate(tree.order[1:]):
        length = (x[:, atom] - x[:, tree.parent[atom]]).norm(dim=0)
        torch.testing.assert_close(length, bonds[k], atol=1e-12, rtol=0)
    found_bonds, found_polar = placement.measure(x)
    torch.testing.assert_close(found_bonds, bonds, atol=1e-10, rtol=0)
    torch.testing.assert_close(found_polar, polar, atol=1e-9, rtol=0)


@given(trees(least=3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_gradient_of_placement_is_that_of_finite_differences(tree, seed):
    placement = Placement(tree)
    inputs = random_polar(tree, torch.Generator().manual_seed(seed), batch=1)
    inputs = tuple(value.requires_grad_() for value in inputs)
    assert torch.autograd.gradcheck(lambda bonds, polar: placement.place(bonds, polar), inputs)


@given(grouped_trees(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_jacobian_and_inverse_of_random_coordinates(tree_and_groups, seed):
    tree, groups = tree_and_groups
    coords = UnboundedCoordinates(tree, groups)
    generator = torch.Generator().manual_seed(seed)
    n_torsions, n_stiff = len(coords.soft_groups), sum(coords.sizes)
    q = torch.rand(n_torsions + n_stiff, generator=generator, dtype=torch.float64)
    torsions, raw = q[:n_torsions, None] * 6.0 - 3.0, RANGE * (2.0 * q[n_torsions:, None] - 1.0)
    raw[: coords.n_bonds] *= 0.1  # nm
    x, log_det = coords.positions(torsions, raw)

    def positions(q):
        return coords.positions(q[:n_torsions, None], q[n_torsions:, None])[0][..., 0].T

    oracle = log_det_by_autograd(positions, tree.n_atoms, torch.cat([torsions, raw])[:, 0])
    torch.testing.assert_close(log_det[0], oracle, atol=1e-7, rtol=0)
    found_torsions, found_raw, found_log_det = coords.measure(x)
    torch.testing.assert_close(found_torsions, torsions, atol=1e-6, rtol=0)
    torch.testing.assert_close(found_raw, raw, atol=1e-6, rtol=0)
    torch.testing.assert_close(found_log_det, log_det, atol=1e-6, rtol=0)
