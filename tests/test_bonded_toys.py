"""The shipped toys' closed forms, against importance sampling of OpenMM's energy over placed atoms."""

import numpy as np
import pytest

from boltzgen.systems import describe_system, load_system
from boltzgen.units import thermal_energy
from tests.bonded_toy import log_z
from tests.forcefields.openmm_reference import energies

# Each atom by its bond, angle and torsion references; a rotor's atoms last.
PLACEMENTS = {
    "bonded-toy": [(4,), (0, 4), (1, 0, 4), (2, 1, 0, 4), (3, 2, 1, 0), (5, 3, 2, 1)],
    "bonded-toy-rotor": [(6,), (2, 6), (1, 2, 6), (0, 1, 2, 6), (3, 0, 1, 2), (4, 0, 1, 2), (5, 0, 1, 2)],
}
LOG_Z = {"bonded-toy": -50.3324132, "bonded-toy-rotor": -65.8333959}  # at 300 K, nm and radian


class Proposal:
    """Independent draws of ``n`` values each; ``log_weights`` gathers the measure over the density."""

    def __init__(self, n, seed):
        self.random = np.random.default_rng(seed)
        self.log_weights = np.zeros(n)

    def normal(self, centre, stiffness):
        width = 1 / np.sqrt(stiffness)
        z = self.random.normal(size=len(self.log_weights))
        self.log_weights += 0.5 * z**2 + 0.5 * np.log(2 * np.pi * width**2)
        return centre + width * z

    def uniform_angle(self):
        self.log_weights += np.log(2 * np.pi)
        return self.random.uniform(-np.pi, np.pi, len(self.log_weights))


def placed(x, atom, references, b, angle, torsion):
    """Puts ``atom`` into x [n, atoms, 3] at b, angle and torsion from its references."""
    p, q = x[:, references[0]], x[:, references[1]]
    r = x[:, references[2]] if len(references) == 3 else q + np.array([0.0, 1.0, 0.0])
    axis = (q - p) / np.linalg.norm(q - p, axis=1, keepdims=True)
    normal = np.cross(r - q, axis)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    turned = np.cos(torsion)[:, None] * np.cross(axis, normal) + np.sin(torsion)[:, None] * normal
    x[:, atom] = p + b[:, None] * (np.cos(angle)[:, None] * axis + np.sin(angle)[:, None] * turned)


def draw(system, placements, n, kT):
    """Positions [n, atoms, 3] about the rest lengths and angles, any torsions; ln of dx_int over density."""
    bonds, angles = system.getForce(0), system.getForce(1)
    rows = map(bonds.getBondParameters, range(bonds.getNumBonds()))
    rest_bond = {frozenset(row[:2]): (row[2]._value, row[3]._value / kT) for row in rows}
    rows = map(angles.getAngleParameters, range(angles.getNumAngles()))
    rest_angle = {frozenset(row[:3:2]): (row[3]._value, row[4]._value / kT) for row in rows}
    proposal, x, rotor = Proposal(n, seed=1), np.zeros((n, len(placements), 3)), {}
    for atom, *references in placements[1:]:
        b = proposal.normal(*rest_bond[frozenset((atom, references[0]))])
        proposal.log_weights += 2 * np.log(b)
        if len(references) == 1:
            x[:, atom, 0] = b
            continue
        angle = proposal.normal(*rest_angle[frozenset((atom, references[1]))])
        proposal.log_weights += np.log(np.sin(angle))
        siblings = rotor.setdefault(tuple(references), [])
        if len(references) == 2:
            torsion = np.zeros(n)
        elif siblings:
            torsion = proposal.normal(siblings[0] + len(siblings) * 2 * np.pi / 3, 80.0)
        else:
            torsion = proposal.uniform_angle()
        siblings.append(torsion)
        placed(x, atom, references, b, angle, torsion)
    return x, proposal.log_weights


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
def test_the_toys_have_their_closed_forms(name):
    toy, kT, n = load_system(name), thermal_energy(300), 20_000
    x, log_weights = draw(toy.system, PLACEMENTS[name], n, kT)
    log_weights -= energies(toy.system, x) / kT
    weights = np.exp(log_weights - log_weights.max())
    estimate = np.log(weights.mean()) + log_weights.max()
    error = weights.std() / weights.mean() / np.sqrt(n)
    assert error < 0.03
    assert abs(log_z(toy.system, 300) - estimate) < 4 * error
    assert log_z(toy.system, 300) == pytest.approx(LOG_Z[name], abs=1e-6)
    assert f"{LOG_Z[name]}" in describe_system(name).reference
