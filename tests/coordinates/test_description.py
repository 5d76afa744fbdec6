from collections import Counter

from boltzgen.coordinates.description import coverage_warnings, describe
from tests.coordinates.frames import coordinates, molecule


def kinds(name):
    return Counter(feature.kind for feature in describe(coordinates(name)))


def test_features_of_a_peptide():
    found = kinds("alanine-dipeptide")
    assert (found["amide"], found["torsion"], found["rotor"]) == (2, 2, 3)
    assert found["handedness"] == 1


def test_features_of_rings_double_bonds_lines_and_inversions():
    assert kinds("cyclohexane")["ring"] == 1
    assert kinds("cyclohexane")["basins"] == 1
    assert kinds("crotonaldehyde")["double bond"] == 1
    assert kinds("methyl-acetate")["ester"] == 1
    assert kinds("butynenitrile")["line"] == 3
    assert kinds("hydrazine")["inversion"] == 2


def test_what_no_range_holds_is_said():
    assert kinds("trans-cyclodecene")["double bond"] == 1
    both = kinds("cyclooctadiene")
    assert (both["double bond"], both["double bond, checked"]) == (1, 1)
    assert kinds("ethylene")["double bond"] == 1
    glucose = kinds("beta-glucose")
    assert glucose["handedness"] + glucose["handedness, checked"] == 5
    # The centre before and the centre beyond the bond that the tree leaves out have three children less one.
    assert glucose["handedness, checked"] >= 1
    assert kinds("isoleucine")["handedness, checked"] == 0


def test_soft_torsions_come_first_with_their_folds():
    coords = coordinates("tert-butylbenzene")
    first = describe(coords)[: coords.n_torsions]
    assert [feature.count for feature in first] == coords.folds.tolist()
    assert all(len(feature.atoms) == 4 for feature in first)


def test_large_rings_are_warned_of():
    for name in ("cyclooctane", "naphthalene", "testosterone", "butane"):
        assert coverage_warnings(molecule(name)) == []
    (warning,) = coverage_warnings(molecule("cyclodecane"))
    assert warning.startswith("ring of 10 atoms: ")
    assert "not guaranteed" in warning
