import itertools

import pytest
from rdkit import Chem

from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.symmetry import MolecularGraph


def graph_of(smiles):
    return MolecularGraph.from_rdmol(Molecule.from_smiles(smiles).rdmol)


def heavy(molecule, symbol):
    return [a.GetIdx() for a in molecule.rdmol.GetAtoms() if a.GetSymbol() == symbol]


@pytest.mark.parametrize(
    "smiles",
    ["CCCC", "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", "C1CCCCC1", "CC(C)(C)c1ccccc1", "F/C=C\\Cl", "CC=C=C(C)C"],
)
def test_classes_partition_atoms_like_rdkit(smiles):
    molecule = Molecule.from_smiles(smiles)
    ours = MolecularGraph.from_rdmol(molecule.rdmol).classes
    theirs = list(Chem.CanonicalRankAtoms(molecule.rdmol, breakTies=False))
    for i, j in itertools.combinations(range(molecule.n_atoms), 2):
        assert (ours[i] == ours[j]) == (theirs[i] == theirs[j])


@pytest.mark.parametrize(
    ("smiles", "symbol", "n_classes"),
    [
        ("CC(=O)[O-]", "O", 1),
        ("C[N+](=O)[O-]", "O", 1),
        ("CS(=O)(=O)[O-]", "O", 1),
        ("CC(N)=[NH2+]", "N", 1),
        ("NC(N)=[NH2+]", "N", 1),
        ("CC(=O)O", "O", 2),
        ("CC(N)=N", "N", 2),
    ],
)
def test_atoms_that_differ_in_the_drawing_only_are_alike(smiles, symbol, n_classes):
    molecule = Molecule.stereoisomers(smiles)[0]
    classes = MolecularGraph.from_rdmol(molecule.rdmol).classes
    assert len({classes[i] for i in heavy(molecule, symbol)}) == n_classes


def test_isotopes_and_stereo_are_told_apart():
    molecule = Molecule.from_smiles("C[C@H](O)C[C@@H](C)[C@H](C)C[C@@H](C)O")
    assert len(set(graph_of("[2H]CC").classes)) > len(set(graph_of("CC").classes))
    assert molecule.n_atoms == graph_of(molecule.smiles).n_atoms


@pytest.mark.parametrize(
    ("smiles", "parent", "centre", "order"),
    [
        ("CCO", 1, 0, 3),
        ("CC(C)(C)O", 4, 1, 3),
        ("Cc1ccccc1", 0, 1, 2),
        ("CC(=O)[O-]", 0, 1, 2),
        ("CCO", 0, 1, None),
    ],
)
def test_rotor_turns_its_substituents_and_leaves_the_rest(smiles, parent, centre, order):
    graph = graph_of(smiles)
    rotor = graph.rotor(parent, centre)
    if order is None:
        assert rotor is None
        return
    turned, times = rotor, 1
    while turned != tuple(range(graph.n_atoms)):
        turned, times = tuple(rotor[i] for i in turned), times + 1
    assert times == order == len(graph.neighbours[centre]) - 1
    behind = graph.component(centre, without=(parent,)) - {centre}
    assert all(rotor[i] == i for i in range(graph.n_atoms) if i not in behind)


@pytest.mark.parametrize("smiles", ["C1CCCCC1", "C1CC2CCC1C2", "CC(C)(C)C(C)(C)C", "C12C3C4C1C5C2C3C45"])
def test_automorphisms_keep_every_bond(smiles):
    graph = graph_of(smiles)
    a = 0
    for b in range(graph.n_atoms):
        permutation = graph.automorphism({a: b})
        assert (permutation is not None) == (graph.classes[a] == graph.classes[b])
        if permutation:
            bonds = {tuple(sorted((permutation[i], permutation[j]))) for i, j in graph.bond_labels}
            assert bonds == set(graph.bond_labels)


def test_a_stereocentre_with_two_alike_branches_of_opposite_stereo_is_no_rotor():
    graph = graph_of("CC(=O)N([C@H](F)C)[C@@H](F)C")
    assert graph.rotor(1, 3) is None
    assert graph_of("CC(=O)N([C@H](F)C)[C@H](F)C").rotor(1, 3) is not None


@pytest.mark.parametrize(("second", "alike"), [("@@", True), ("@", False)])
def test_cis_and_trans_rings_are_told_apart(second, alike):
    graph = graph_of(f"O([C@H]1CC[C@@H](C)CC1)[C@H]1CC[C{second}H](C)CC1")
    first_ring, other_ring = (n for n in graph.neighbours[0])
    assert (graph.classes[first_ring] == graph.classes[other_ring]) == alike
    assert (graph.automorphism({0: 0, first_ring: other_ring}) is not None) == alike


def test_bridges_are_the_bonds_in_no_ring():
    molecule = Molecule.from_smiles("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O")
    graph = MolecularGraph.from_rdmol(molecule.rdmol)
    for bond in molecule.rdmol.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        assert graph.is_bridge(i, j) == graph.is_bridge(j, i) == (not bond.IsInRing())


@pytest.mark.parametrize(
    "smiles", ["O", "CC", "CCC", "C1CC1", "c1ccccc1", "CC(C)C", "F/C=C/F", "C[C@H](N)C(=O)O", "FC(F)(F)Cl"]
)
def test_products_along_the_chain_are_all_automorphisms_once(smiles):
    """Against every match of the molecule with itself that RDKit finds."""
    molecule = Molecule.from_smiles(smiles)
    rdmol = molecule.rdmol
    theirs = set(rdmol.GetSubstructMatches(rdmol, uniquify=False, useChirality=True, maxMatches=10**6))
    chain = graph_of(smiles).automorphism_chain()
    ours = []
    for elements in itertools.product(*chain):
        product = tuple(range(molecule.n_atoms))
        for g in elements:
            product = tuple(product[i] for i in g)
        ours.append(product)
    assert len(ours) == len(set(ours))
    assert set(ours) == theirs
