"""Frames for other programs, superposed."""

import mdtraj
import numpy as np
import pytest

from boltzgen.molecules.conversion import superposed, to_mdtraj
from boltzgen.molecules.molecule import Molecule


def shaken(smiles, n=20, size=0.02):
    """Frames of one molecule, each turned and moved at random."""
    random = np.random.default_rng(3)
    molecule = Molecule.from_smiles(smiles)
    x = molecule.seed_conformers(1)[0] + size * random.normal(size=(n, molecule.n_atoms, 3))
    turns, _ = np.linalg.qr(random.normal(size=(n, 3, 3)))
    turns *= np.linalg.det(turns)[:, None, None]
    return molecule, (x @ turns + random.normal(size=(n, 1, 3))).astype(np.float32)


def test_frames_are_as_near_to_the_first_as_mdtraj_finds():
    molecule, x = shaken("C[C@H](F)C(=O)O")
    trajectory = to_mdtraj(molecule, x)
    apart = np.sqrt(((trajectory.xyz - trajectory.xyz[0]) ** 2).sum(2).mean(1))
    least = mdtraj.rmsd(mdtraj.Trajectory(x, molecule.to_mdtraj_topology()), trajectory, 0)
    np.testing.assert_allclose(apart, least, atol=1e-4)
    assert molecule.keeps_stereo(trajectory.xyz).all()


@pytest.mark.parametrize("smiles", ["O=C=O", "N#N", "C", "FC(F)=C(F)F", "[NH4+]"])
def test_distances_stay_and_nothing_is_printed(smiles, capfd):
    """For linear and flat molecules, where mdtraj's own superposition finds no rotation and says so."""
    molecule, x = shaken(smiles, size=0.0)
    y = to_mdtraj(molecule, x).xyz
    assert capfd.readouterr() == ("", "")
    between = np.linalg.norm(y[:, :, None] - y[:, None], axis=-1)
    np.testing.assert_allclose(between, np.linalg.norm(x[:, :, None] - x[:, None], axis=-1), atol=1e-5)
    np.testing.assert_allclose(y, np.broadcast_to(y[0], y.shape), atol=1e-5)  # rigid copies of one frame


def test_one_atom_is_centred():
    assert (superposed(np.ones((3, 1, 3), dtype=np.float32)) == 0.0).all()
