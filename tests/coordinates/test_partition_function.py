"""Z of a bonded-only molecule in closed form against importance sampling, with rotors folded and not."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.coordinates.labels import LabelRules
from boltzgen.energies.symmetry import energy_symmetry
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.symmetry import MolecularGraph

BOND, BOND_WIDTH = 0.12, 0.01  # nm; wide enough for the frames of a real molecule
ANGLE, ANGLE_WIDTH = 1.9, 0.15
BARRIER = 1.2  # kT, of (1 + cos 3φ) for each hydrogen
REPULSION = 15.0  # kT, of cos(φ − φ′) for each pair of them
PREFERENCE = 1.5  # kT, of cos φ for the first hydrogen, in an energy that distinguishes it


@pytest.fixture(scope="module")
def methanol():
    """Coordinates of CH3OH whitened on samples of its toy potential, and the atoms of that potential."""
    mol = Molecule.from_smiles("CO")
    carbon, oxygen = 0, 1
    hydroxyl = next(a for pair in mol.bonds if oxygen in pair for a in pair if a not in (carbon, oxygen))
    methyl = [a for pair in mol.bonds if carbon in pair for a in pair if a not in (carbon, oxygen)]
    atoms = (carbon, oxygen, hydroxyl, methyl)
    rng = np.random.default_rng(0)
    frames = np.repeat(mol.seed_conformers(3), 100, 0)
    frames = torch.as_tensor(frames + 0.008 * rng.standard_normal(frames.shape))
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        coords = build_coordinates(mol, frames, dtype=torch.float64)
        x, log_w = weighted_samples(coords, atoms, 20_000, generator, scale=1.5)
        chosen = torch.multinomial(torch.softmax(log_w, 0), 2000, replacement=True, generator=generator)
        frames = x[chosen]
    return build_coordinates(mol, frames, dtype=torch.float64), atoms


def weighted_samples(coords, atoms, n, generator, scale, preference=0.0):
    """Samples of the base, widened by ``scale``, and the logarithms of their importance weights."""
    stiff = scale * coords.base.sample(n, generator)
    torsions = (2 * torch.rand(n, coords.n_torsions, generator=generator, dtype=torch.float64) - 1) * math.pi
    x, log_det = coords.to_positions(torsions, stiff)
    log_q = coords.base.log_prob(stiff / scale) - coords.n_stiff * math.log(scale)
    return x, log_det - log_q + coords.n_torsions * math.log(2 * math.pi) - reduced_energy(
        x, atoms, preference
    )


def reduced_energy(x, atoms, preference=0.0):
    """Harmonic bonds, angles with the axis, threefold barriers and repulsion of methyl hydrogens.

    ``preference`` of the first hydrogen for the side of the hydroxyl one.
    """
    carbon, oxygen, hydroxyl, methyl = atoms
    unit = torch.nn.functional.normalize

    def angle(i, j, k):
        return torch.arccos((unit(x[:, i] - x[:, j], dim=-1) * unit(x[:, k] - x[:, j], dim=-1)).sum(-1))

    u = 0
    for i, j in [(carbon, oxygen), (oxygen, hydroxyl), *((carbon, h) for h in methyl)]:
        u = u + ((x[:, i] - x[:, j]).norm(dim=-1) - BOND) ** 2 / (2 * BOND_WIDTH**2)
    for i, j, k in [(carbon, oxygen, hydroxyl), *((oxygen, carbon, h) for h in methyl)]:
        u = u + (angle(i, j, k) - ANGLE) ** 2 / (2 * ANGLE_WIDTH**2)
    axis = unit(x[:, oxygen] - x[:, carbon], dim=-1)
    n = torch.linalg.cross(axis, x[:, hydroxyl] - x[:, oxygen])
    azimuths = []
    for h in methyl:
        m = torch.linalg.cross(axis, x[:, h] - x[:, carbon])
        azimuths.append(torch.atan2((torch.linalg.cross(n, m) * axis).sum(-1), (n * m).sum(-1)))
        u = u + BARRIER * (1 + torch.cos(3 * azimuths[-1]))
    for a, b in itertools.combinations(azimuths, 2):
        u = u + REPULSION * torch.cos(a - b)
    return u - preference * torch.cos(azimuths[0])


def exact_log_z(preference=0.0):
    """Z = Π ∫ b² e^−u db · Π ∫ sin θ e^−u dθ · ∫ over azimuths in one cyclic order with all gaps below π."""

    def gaussian(value, mean, width):
        return math.exp(-((value - mean) ** 2) / (2 * width**2))

    radial = integrate.quad(lambda b: b**2 * gaussian(b, BOND, BOND_WIDTH), 0.0, 0.4)[0]
    polar = integrate.quad(lambda t: math.sin(t) * gaussian(t, ANGLE, ANGLE_WIDTH), 0.0, math.pi)[0]
    n = 240
    phi = (np.arange(n) + 0.5) * 2 * np.pi / n
    weight = np.exp(-BARRIER * (1 + np.cos(3 * phi)))
    g2 = (phi[None, :, None] - phi[:, None, None]) % (2 * np.pi)
    g3 = (phi[None, None, :] - phi[:, None, None]) % (2 * np.pi)
    gaps = (g2, g3 - g2, 2 * np.pi - g3)
    first = weight * np.exp(preference * np.cos(phi))
    density = first[:, None, None] * weight[None, :, None] * weight[None, None, :]
    for gap in gaps:
        # The boundary g = π counts half.
        inside = np.where(np.isclose(gap, np.pi), 0.5, (gap > 1e-9) & (gap < np.pi))
        density = density * inside * np.exp(-REPULSION * np.cos(gap))
    azimuths = density.sum() * (2 * np.pi / n) ** 3
    return 5 * math.log(radial) + 4 * math.log(polar) + math.log(azimuths)


def estimate(coords, atoms, n=200_000, preference=0.0):
    """ln Z of the domain by importance sampling from the base, and its standard error."""
    generator = torch.Generator().manual_seed(2)
    _, log_w = weighted_samples(coords, atoms, n, generator, scale=1.2, preference=preference)
    log_z = float(torch.logsumexp(log_w, 0)) - math.log(n)
    return log_z, float((log_w - log_z).exp().std()) / n**0.5


def test_log_z_is_exact_with_and_without_folding(methanol):
    folded, atoms = methanol
    assert [g.gaps for g in folded.groups if len(g.children) == 3] == ["convex"]
    unfolded = MolecularCoordinates(
        folded.zmatrix,
        [g.changed(fold=1, low=-math.pi, width=2 * math.pi) if g.soft else g for g in folded.groups],
        LabelRules(folded.labels.skeletal, (), ()),
    ).double()
    unfolded.load_state_dict(folded.state_dict())
    unfolded.shift.coefficients.zero_()  # they are fitted to one period of each rotor
    assert folded.log_multiplicity == pytest.approx(math.log(3))
    log_z, error = estimate(unfolded, atoms)
    log_z_domain, error_domain = estimate(folded, atoms)
    assert max(error, error_domain) < 0.02
    assert log_z == pytest.approx(exact_log_z(), abs=4 * error + 1e-3)
    assert log_z_domain + folded.log_multiplicity == pytest.approx(exact_log_z(), abs=4 * error_domain + 1e-3)


class DistinguishingEnergy:
    """The toy potential as a target, with the first hydrogen's preference."""

    def __init__(self, atoms):
        self.atoms = atoms

    def reduced_energy(self, x):
        return reduced_energy(x, self.atoms, PREFERENCE)


def test_a_rotor_whose_hydrogens_the_energy_distinguishes_is_not_folded(methanol):
    folded, atoms = methanol
    mol = Molecule.from_smiles("CO")
    x = folded.to_positions(
        torch.linspace(-3, 3, 300, dtype=torch.float64)[:, None],
        folded.base.sample(300, torch.Generator().manual_seed(4)),
    )[0]
    graph = MolecularGraph.from_rdmol(mol.rdmol)
    symmetry = energy_symmetry(graph, DistinguishingEnergy(atoms), folded.canonicalise(x))
    first, *others = atoms[3]
    assert symmetry.distinguished == ((first, *others),)
    swap = list(range(6))
    swap[others[0]], swap[others[1]] = others[1], others[0]
    assert graph.marked(symmetry.marks).automorphism_chain() == [[tuple(range(6)), tuple(swap)]]

    frames = folded.randomise_labels(x, torch.Generator().manual_seed(3))
    coords = build_coordinates(mol, frames, dtype=torch.float64, marks=symmetry.marks)
    assert coords.multiplicity == 1
    log_z, error = estimate(coords, atoms, preference=PREFERENCE)
    assert error < 0.02
    assert log_z == pytest.approx(exact_log_z(PREFERENCE), abs=4 * error + 1e-3)
    # With the fold, ln Z depends on which third of the circle stands for all: the exactness is lost.
    log_z, error = estimate(folded, atoms, preference=PREFERENCE)
    assert abs(log_z + folded.log_multiplicity - exact_log_z(PREFERENCE)) > 0.1 + 4 * error

    y, _ = coords.to_positions(
        torch.zeros(50, coords.n_torsions, dtype=torch.float64),
        coords.base.sample(50, torch.Generator().manual_seed(5)),
    )
    swapped = coords.canonicalise(y[:, torch.tensor(swap)])
    assert torch.equal(swapped, y)
    assert torch.equal(coords.randomise_labels(y, torch.Generator().manual_seed(6)), y)
