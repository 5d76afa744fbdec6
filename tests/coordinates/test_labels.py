import math

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdForceFieldHelpers

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.labels import LabelRules
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo import conformer
from tests.coordinates.frames import coordinates, frames, molecule, samples
from tests.coordinates.oracles import superposed_deviation

SYMMETRIC = ["butane", "tert-butylbenzene", "triethylamine", "choline", "hydrazine", "nitrobenzene"]
FOLDED_IMAGES = {
    "butane": 3 * 3,
    "ethane": 3,
    "tert-butylbenzene": 3**4,
    "nitrobenzene": 2,
    "acetate": 3,
    "hydrazine": 2 * 2,
    "isopropanol": 3 * 3,
    "trimethylphosphine": 3**3,
    "methane": 1,
    "ethylene": 1,
    "ammonia": 2,
    "guanidinium": 2**3,
    "methyl-phosphate": 3,
}


@pytest.mark.parametrize(("name", "images"), FOLDED_IMAGES.items())
def test_multiplicity_counts_the_images_of_rotors_and_inverting_nitrogens(name, images):
    assert coordinates(name).log_multiplicity == pytest.approx(math.log(images))


@pytest.mark.parametrize("name", SYMMETRIC)
def test_canonical_labels_are_kept_and_found_again_from_random_ones(name):
    coords = coordinates(name)
    x = coords.canonicalise(frames(name))
    assert torch.equal(coords.canonicalise(x), x)
    images = coords.randomise_labels(x, torch.Generator().manual_seed(0))
    assert (images != x).any()
    assert torch.equal(coords.canonicalise(images), x)


@pytest.mark.parametrize("name", ["tert-butylbenzene", "triethylamine", "choline", "diisopropylamide"])
def test_random_images_keep_the_handedness_of_every_centre_and_the_energy(name):
    coords, mol = coordinates(name), molecule(name)
    x = coords.to_positions(*samples(name, 200, 0.5))[0]
    images = coords.randomise_labels(x, torch.Generator().manual_seed(0))
    assert coords.contains(x).all()
    assert coords.contains(images).all()
    for atom in mol.rdmol.GetAtoms():
        if atom.GetDegree() == 4:
            assert torch.equal(volume_sign(atom, images), volume_sign(atom, x))
    assert mmff_energies(mol, images[:10]) == pytest.approx(mmff_energies(mol, x[:10]), abs=1e-6)
    log_det, log_det_again = coords.from_positions(x)[2], coords.from_positions(images)[2]
    torch.testing.assert_close(log_det_again, log_det, atol=1e-8, rtol=0)


def volume_sign(atom, x):
    a, b, c = (x[:, n.GetIdx()] - x[:, atom.GetIdx()] for n in atom.GetNeighbors()[:3])
    return (torch.linalg.cross(a, b) * c).sum(-1).sign()


def mmff_energies(mol, x):
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(mol.rdmol)
    rdmol = Chem.Mol(mol.rdmol)
    rdmol.RemoveAllConformers()
    energies = []
    for row in x.numpy():
        index = rdmol.AddConformer(conformer(row), assignId=True)
        energies.append(
            rdForceFieldHelpers.MMFFGetMoleculeForceField(rdmol, properties, confId=index).CalcEnergy()
        )
    return energies


@pytest.mark.parametrize("name", ["butane", "tert-butylbenzene", "nitrobenzene", "hydrazine", "guanidinium"])
def test_random_labels_reach_every_image_equally_often(name):
    coords = coordinates(name)
    n_images = round(math.exp(coords.log_multiplicity))
    n = 200 * n_images
    x = coords.canonicalise(frames(name)[:1]).expand(n, -1, -1)
    images = coords.randomise_labels(x, torch.Generator().manual_seed(0))
    _, counts = images.flatten(1).unique(dim=0, return_counts=True)
    assert len(counts) == n_images
    assert counts.sum() == n
    assert ((counts - 200).abs() < 5 * 200**0.5).all()


@pytest.mark.parametrize(
    "name", ["cyclohexanol", "cis-dimethylcyclohexane", "norbornane", "DMSO", "isobutane"]
)
def test_exchanged_labels_of_equivalent_atoms_are_put_back(name):
    coords = coordinates(name)
    x = coords.canonicalise(frames(name))
    generator = torch.Generator().manual_seed(0)
    scrambled = x
    for rule in coords.labels.rules:
        turned = scrambled[:, torch.tensor(rule.permutation)]
        scrambled = torch.where(torch.rand(len(x), 1, 1, generator=generator) < 0.5, turned, scrambled)
    for permutation in coords.labels.skeletal[1:]:
        scrambled = scrambled[:, torch.tensor(permutation)]
    restored = coords.canonicalise(scrambled)
    assert coords.labels.in_order(restored, coords.unbounded.placement).all()
    _, _, log_det = coords.from_positions(scrambled)
    assert torch.isfinite(log_det).all()


@pytest.mark.parametrize("name", ["butane", "tert-butylbenzene", "nitrobenzene", "trifluorotoluene"])
def test_passing_on_labels_turns_a_rotor_by_one_period(name):
    coords = coordinates(name)
    unfolded = MolecularCoordinates(
        coords.zmatrix,
        [g.changed(fold=1, low=-math.pi, width=2 * math.pi) if g.soft else g for g in coords.groups],
        LabelRules((tuple(range(coords.n_atoms)),), (), ()),
    ).double()
    x = coords.canonicalise(frames(name))[:20].permute(2, 1, 0)
    before, _, _ = unfolded.unbounded.measure(x)
    soft = [g.centre for g in unfolded.unbounded.soft_groups]
    for rule in coords.labels.rules:
        if rule.kind == "rotor":
            after, _, _ = unfolded.unbounded.measure(x[:, torch.tensor(rule.permutation)])
            k = soft.index(rule.centre)
            step = torch.remainder(after[k] - before[k], 2 * math.pi)
            torch.testing.assert_close(step, torch.full_like(step, 2 * math.pi / len(rule.others)))


@pytest.mark.parametrize("name", ["butane", "tert-butylbenzene", "acetate", "hydrazine"])
def test_labels_do_not_move_atoms(name):
    coords = coordinates(name)
    torsions, stiff = samples(name, 20)
    x, _ = coords.to_positions(torsions, stiff)
    images = coords.randomise_labels(x, torch.Generator().manual_seed(3))
    numbers = torch.as_tensor(molecule(name).atomic_numbers)
    for number in numbers.unique():
        same = numbers == number
        assert torch.equal(x[:, same].sort(1).values, images[:, same].sort(1).values)
    again = coords.to_positions(*coords.from_positions(images)[:2])[0]
    assert superposed_deviation(again, coords.canonicalise(x)).max() < 1e-8


@pytest.mark.parametrize(
    ("smiles", "multiplicity"),
    [
        ("CN1CCC(O)CC1", 3),
        ("CCN1CCC(O)(C)CC1", 9),
        ("CC(=O)N1CCC(F)CC1", 3),
        ("CCN1CCOCC1", 6),
    ],
)
def test_a_ring_that_holds_a_centre_is_not_turned_over_by_its_labels(smiles, multiplicity):
    """The two halves of a ring change places by a turn of the bond to it, but for a centre across, as C4 of
    4-piperidinol, which that would invert. Chairs of both kinds are in the domain, and so is every image."""
    molecule = Molecule.from_smiles(smiles)
    x = torch.as_tensor(molecule.seed_conformers(24))
    coords = build_coordinates(molecule, x, dtype=torch.float64)
    assert coords.multiplicity == multiplicity
    inside = coords.canonicalise(x)
    assert coords.contains(inside).all()
    assert torch.isfinite(coords.from_positions(x)[2]).all()
    images = coords.randomise_labels(inside, torch.Generator().manual_seed(0))
    assert coords.contains(images).all()
    torch.testing.assert_close(coords.canonicalise(images), inside)
