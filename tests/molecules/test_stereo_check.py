"""The check of written conformers: signed volumes against RDKit's perception, and planted mirror images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rdkit import Chem

from boltzgen.ensemble import Ensemble
from boltzgen.errors import EvaluationError, InputError
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import StereoElements
from boltzgen.molecules.stereo_check import FLAT, require_readable, require_stereo
from tests.molecules.test_stereo import STEREO

OTHER = [
    "C1CC2CCC1C2",
    "C12C3C4C1C5C2C3C45",
    "CC(N)=[NH+]C",
    "O=S1(=O)CCCC1",
    "C1CN2CCN1CC2",
    "C[C@H]1C[N@@]1C",
    "C[P@](CC)c1ccccc1",
    "C[C@H](F)C[C@H](F)C",
    "CC(=O)[O-]",
]


def noisy(molecule: Molecule, width: float, n: int) -> np.ndarray:
    """``n`` conformers moved by ``width`` nm at random."""
    seeds = molecule.seed_conformers(3, seed=4, minimise=False)
    x = seeds[np.arange(n) % len(seeds)]
    return x + width * np.random.default_rng(7).normal(size=x.shape)


@pytest.mark.parametrize("smiles", STEREO + OTHER)
def test_conformers_with_the_stereo_of_the_molecule_pass(smiles):
    molecule = Molecule.from_smiles(smiles)
    x = noisy(molecule, 0.004, 60)
    x = x[molecule.keeps_stereo(x)]
    assert len(x) > 50
    assert require_stereo(molecule, x, seconds=60.0) == len(x)


@pytest.mark.parametrize("smiles", [smiles for smiles in STEREO + OTHER if "@" in smiles])
def test_one_mirror_image_among_many_is_found(smiles):
    molecule = Molecule.from_smiles(smiles)
    x = noisy(molecule, 0.0, 40)
    x[17] *= [1.0, 1.0, -1.0]
    with pytest.raises(EvaluationError, match="1 of 40 conformers show another stereoisomer"):
        require_stereo(molecule, x, seconds=0.0)


@pytest.mark.parametrize("smiles", ["C[C@@H](F)Cl", "F/C=C\\Cl", "CC[S@](C)=O", "CO[P@@](C)(N)=O"])
def test_rdkit_finds_the_other_isomer_by_itself(smiles, monkeypatch):
    """As if the signs of this package were blind."""
    molecule = Molecule.from_smiles(smiles)
    mark = next(mark for mark in ("@@", "@", "\\") if mark in smiles)
    other = Molecule.from_smiles(smiles.replace(mark, {"@@": "@", "@": "@@", "\\": "/"}[mark]))
    x = np.concatenate([molecule.seed_conformers(1), other.seed_conformers(1)])
    monkeypatch.setattr(StereoElements, "margins", lambda self, positions: np.ones((len(positions), 1)))
    assert require_stereo(molecule, x[:1]) == 1
    with pytest.raises(EvaluationError, match="another stereoisomer"):
        require_stereo(molecule, x)


@pytest.mark.parametrize("smiles", STEREO)
def test_signs_of_bent_conformers_are_those_of_rdkit(smiles):
    """Moved by 0.1 Å at random: what has a clear sign is what RDKit perceives at that atom or bond."""
    molecule = Molecule.from_smiles(smiles)
    x = noisy(molecule, 0.01, 100)
    elements, margins = molecule.stereo, molecule.stereo.margins(x)
    n_compared = 0
    for frame, row in zip(x, margins, strict=True):
        perceived = Chem.Mol(molecule.rdmol)
        perceived.RemoveAllConformers()
        Chem.RemoveStereochemistry(perceived)
        conformer = Chem.Conformer(len(frame))
        conformer.SetPositions(10 * frame)
        perceived.AddConformer(conformer)
        Chem.AssignStereochemistryFrom3D(perceived)
        for (centre, *_), margin in zip(elements.centres.tolist(), row, strict=False):
            tag = perceived.GetAtomWithIdx(centre).GetChiralTag()
            tetrahedral = tag in (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
            if tetrahedral and abs(margin) > FLAT:
                assert (tag == molecule.rdmol.GetAtomWithIdx(centre).GetChiralTag()) == (margin > 0)
                n_compared += 1
        for (first, begin, end, last), given, margin in zip(
            elements.double_bonds.tolist(), elements.cis, row[len(elements.centres) :], strict=True
        ):
            bond = perceived.GetBondBetweenAtoms(begin, end)
            if bond.GetStereo() > Chem.BondStereo.STEREOANY and abs(margin) > FLAT:
                cis = bond.GetStereo() in (Chem.BondStereo.STEREOZ, Chem.BondStereo.STEREOCIS)
                exchanged = len({first, last} - set(bond.GetStereoAtoms())) == 1
                assert ((cis != exchanged) == (given > 0)) == (margin > 0)
                n_compared += 1
    assert n_compared > 50


def test_badly_bent_conformers_are_no_fault():
    """Where neighbours of a centre disagree the sign that the coordinates keep decides."""
    for smiles in STEREO:
        molecule = Molecule.from_smiles(smiles)
        x = noisy(molecule, 0.02, 300)
        require_stereo(molecule, x[molecule.keeps_stereo(x)], seconds=60.0)


def test_an_ensemble_with_another_stereoisomer_is_not_written(tmp_path):
    molecule = Molecule.from_smiles("C[C@@H](F)Cl")
    x = torch.as_tensor(noisy(molecule, 0.0, 30)).float()
    zeros = torch.zeros(30, dtype=torch.float64)
    ensemble = Ensemble.from_samples(molecule, x, zeros, zeros, 300.0)
    assert ensemble.require_stereo() == 30
    mirrored = ensemble.positions.copy()
    mirrored[3] *= [1.0, -1.0, 1.0]
    wrong = replace(ensemble, positions=mirrored)
    with pytest.raises(EvaluationError, match="1 of 30"):
        wrong.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    weights = np.where(np.arange(30) == 3, -np.inf, 0.0)
    assert replace(wrong, log_weights=weights).require_stereo() == 29


def test_a_stereoisomer_that_positions_do_not_tell_is_refused():
    """Morphine with one centre of its cage inverted: three bonds of it lie in a plane."""
    morphine, strained = (
        f"CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C{label}H]1C5" for label in ("@", "@@")
    )
    molecule = Molecule.from_smiles(morphine)
    require_readable(molecule, molecule.seed_conformers(4))
    molecule = Molecule.from_smiles(strained)
    with pytest.raises(InputError, match="so strained that") as refused:
        require_readable(molecule, molecule.seed_conformers(12))
    assert Chem.CanonSmiles(morphine) in str(refused.value)
