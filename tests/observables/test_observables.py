"""Shipped observables against mdtraj, RDKit and closed forms; averages against direct ones."""

import math

import mdtraj
import numpy as np
import pytest
import torch
from rdkit.Chem import rdFreeSASA, rdMolDescriptors, rdMolTransforms

import boltzgen
from boltzgen import observables
from boltzgen.errors import InputError
from boltzgen.forcefields.mmff import mmff_charges
from boltzgen.molecules.conversion import to_mdtraj, to_rdkit


@pytest.fixture(scope="module")
def dipeptide():
    molecule = boltzgen.Molecule.from_sequence("ACE-ALA-NME")
    return molecule, molecule.seed_conformers(6, seed=0).astype(np.float32)


def test_surface_is_rdkits(dipeptide):
    """FreeSASA in RDKit, with mdtraj's radii."""
    molecule, x = dipeptide
    radii = {1: 1.2, 6: 1.7, 7: 1.55, 8: 1.52}
    radii = [radii[number] for number in molecule.atomic_numbers.tolist()]

    def area(rdmol, number):
        return rdFreeSASA.CalcSASA(rdmol, radii, confIdx=number) / 100

    expected = observables.of_conformers(molecule, area)(x)
    np.testing.assert_allclose(observables.surface_area(molecule)(x), expected, rtol=0.02)


def test_surface_of_an_atom_is_a_sphere():
    helium = boltzgen.Molecule.from_smiles("[He]")
    area = observables.surface_area(helium, 0.1)(np.zeros((1, 1, 3)))
    assert float(area[0]) == pytest.approx(4 * math.pi * (0.14 + 0.1) ** 2, rel=1e-4)


def test_dipole_is_mdtrajs_and_that_of_an_ion_is_refused(dipeptide):
    molecule, x = dipeptide
    charges = mmff_charges(molecule)
    expected = mdtraj.dipole_moments(to_mdtraj(molecule, x), charges)  # e nm
    debye = np.linalg.norm(expected, axis=1) / 0.0208194343  # e nm in a debye, CODATA
    np.testing.assert_allclose(observables.dipole_moment(charges)(x), debye, rtol=1e-4)
    with pytest.raises(InputError, match="sum to 1"):
        observables.dipole_moment(np.array([1.0, 0.0]))


def test_couplings_are_mdtrajs(dipeptide):
    molecule, x = dipeptide
    indices, expected = mdtraj.compute_J3_HN_HA(to_mdtraj(molecule, x), model="Bax2007")
    found = observables.coupling(observables.KARPLUS["HN-HA"], tuple(map(int, indices[0])))(x)
    np.testing.assert_allclose(found, expected[:, 0], atol=2e-4)


def test_geometry_is_rdkits(dipeptide):
    molecule, x = dipeptide
    rdmol = to_rdkit(molecule, x, [{}] * len(x))
    for k, conformer in enumerate(rdmol.GetConformers()):
        expected = rdMolTransforms.GetAngleRad(conformer, 0, 4, 6)
        assert observables.angle(0, 4, 6)(x)[k] == pytest.approx(expected, abs=1e-5)
        expected = rdMolTransforms.GetDihedralRad(conformer, 4, 6, 8, 14)
        assert observables.torsion(4, 6, 8, 14)(x)[k] == pytest.approx(expected, abs=1e-5)
        expected = rdMolTransforms.GetBondLength(conformer, 0, 4) / 10
        assert observables.distance(0, 4)(x)[k] == pytest.approx(expected, abs=1e-6)


def test_adapters_take_functions_of_other_packages(dipeptide):
    molecule, x = dipeptide
    by_mdtraj = observables.of_trajectory(molecule, lambda t: mdtraj.compute_rg(t))(x)

    def radius(rdmol, number):
        return rdMolDescriptors.CalcRadiusOfGyration(rdmol, confId=number) / 10

    # masses of RDKit, about the centre of mass; mdtraj's masses are about the mean of the positions
    by_rdkit = observables.of_conformers(molecule, radius)(x)
    np.testing.assert_allclose(by_rdkit, observables.radius_of_gyration(molecule)(x), rtol=1e-4)
    assert by_mdtraj.shape == by_rdkit.shape


def test_mean_of_a_function_is_that_of_its_values():
    """A bond of known distribution, drawn from a wider one: the mean square is that of the narrow one."""
    molecule = boltzgen.Molecule.from_smiles("[H][H]")
    generator = torch.Generator().manual_seed(0)
    r = 0.074 + 0.004 * torch.randn(40_000, generator=generator).double()
    x = torch.zeros(len(r), 2, 3)
    x[:, 1, 2] = r
    u = 0.5 * ((r - 0.074) / 0.003) ** 2
    log_q = -0.5 * ((r - 0.074) / 0.004) ** 2 - math.log(0.004 * math.sqrt(2 * math.pi))
    ensemble = boltzgen.Ensemble.from_samples(molecule, x, u, log_q, 300.0)
    bond = observables.distance(0, 1)
    found = ensemble.mean(lambda positions: (bond(positions) - 0.074) ** 2)
    assert abs(found.value - 9e-6) < 4 * found.stderr
    assert found.stderr < 1e-7
    assert found == ensemble.mean((bond(ensemble.positions) - 0.074) ** 2)
    with pytest.raises(InputError, match=r"shape \(40000, 2, 3\)"):
        ensemble.mean(lambda positions: positions)
