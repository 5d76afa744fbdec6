"""Stereo judged from positions, against RDKit's perception."""

import numpy as np
import pytest

from boltzgen.molecules.molecule import Molecule

STEREO = [
    "CC(=O)N[C@@H](C)C(=O)NC",
    "OC[C@H]1O[C@@H](O)[C@H](O)[C@@H](O)[C@@H]1O",
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",
    "C[C@@](F)(Cl)Br",
    "F[C@@H](Cl)Br",
    "CC[S@](C)=O",
    "CC[S@@+](C)[O-]",
    "CO[P@@](C)(N)=O",
    "CCCC[N@@+](C)(CC)CCC",
    "F/C=C\\Cl",
    "C/C=C/C(C)=C(\\F)Cl",
    "[H]/N=C(/C)N",
    "C1=C/CCCCCC/1",
    "F[C@H]1C[C@@H](F)C1",
    "C/C=N/O",
    "C[C@H](O)/C=C/[C@@H](C)F",
]


@pytest.mark.parametrize("smiles", STEREO)
def test_seeds_carry_the_stereo_that_rdkit_perceives(smiles):
    molecule = Molecule.from_smiles(smiles)
    seeds = molecule.seed_conformers(4, seed=5)
    assert molecule.keeps_stereo(seeds).all()
    assert {molecule.smiles_from_positions(x) for x in seeds} == {molecule.smiles}


@pytest.mark.parametrize("smiles", [smiles for smiles in STEREO if "@" in smiles])
def test_mirror_images_lose_every_centre(smiles):
    molecule = Molecule.from_smiles(smiles)
    mirrored = molecule.seed_conformers(4, seed=5) * np.array([1, 1, -1])
    assert not molecule.keeps_stereo(mirrored).any()


@pytest.mark.parametrize("smiles", ["C[C@@H](F)/C=C/[C@@H](C)Cl", "C[C@H]1CC[C@@H](O)CC1", "C/C=C\\C=C/C"])
def test_an_isomer_is_never_taken_for_another(smiles):
    flat = smiles.replace("@@", "").replace("@", "").replace("/", "").replace("\\", "")
    flat = flat.replace("[CH]", "C")
    isomers = Molecule.stereoisomers(flat)
    assert len(isomers) > 1
    for given in isomers:
        seeds = given.seed_conformers(2, seed=1)
        perceived = given.smiles_from_positions(seeds[0])
        # The isomers come from one molecule, so that their atoms stand in one order.
        kept = [other.smiles for other in isomers if other.keeps_stereo(seeds).all()]
        assert given.smiles == perceived
        assert kept == [given.smiles]


@pytest.mark.parametrize("smiles", ["C1CC2CCC1C2", "C1C2CC12"])
def test_a_cage_with_one_possible_isomer_needs_no_labels(smiles):
    molecule = Molecule.from_smiles(smiles)
    assert molecule.keeps_stereo(molecule.seed_conformers(2)).all()


def test_random_positions_agree_with_rdkit_one_by_one():
    molecule = Molecule.from_smiles("C[C@@H](F)/C=C/[C@@H](C)Cl")
    random = np.random.default_rng(0)
    seeds = molecule.seed_conformers(5, seed=5)
    distorted = np.concatenate(
        [seeds + width * random.normal(size=seeds.shape) for width in (0.0, 0.01, 0.02)]
    )
    mirrored = np.concatenate([distorted, distorted * np.array([-1, 1, 1])])
    perceived = [molecule.smiles_from_positions(x) == molecule.smiles for x in mirrored]
    np.testing.assert_array_equal(molecule.keeps_stereo(mirrored), perceived)
    assert any(perceived)
    assert not all(perceived)
