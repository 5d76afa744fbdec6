import json
import subprocess
import sys

import pytest
import torch
from rdkit.Chem import rdMolTransforms

from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.internal import MolecularCoordinates
from boltzgen.errors import InputError
from boltzgen.molecules.stereo import conformer
from tests.coordinates.frames import coordinates, frames, listed, molecule, samples
from tests.coordinates.oracles import log_det_by_autograd, superposed_deviation

FEW = [
    *("hydrogen", "water", "carbon-dioxide", "methane", "hydrogen-peroxide", "hydrazine", "butane"),
    *("alanine-dipeptide", "ibuprofen", "cyclohexane", "pyrrolidine", "norbornane", "decalin"),
    *("butynenitrile", "crotonaldehyde", "tert-butylbenzene", "methyl-phosphate", "methylpentadiene-allene"),
    *("acetylene", "cyanogen", "cubane", "spirononane", "methyl-phenyl-sulfoxide", "ammonia", "cycloheptene"),
]


def internal(name, q):
    torsions, stiff = q.split([coordinates(name).n_torsions, coordinates(name).n_stiff])
    return coordinates(name).to_positions(torsions[None], stiff[None])[0][0]


def check_log_det(name):
    torsions, stiff = samples(name, 1)
    x, log_det = coordinates(name).to_positions(torsions, stiff)
    q = torch.cat([torsions[0], stiff[0]])
    oracle = log_det_by_autograd(lambda q: internal(name, q), x.shape[1], q)
    assert float(log_det) == pytest.approx(float(oracle), abs=1e-8)


def check_inverse(name):
    coords = coordinates(name)
    torsions, stiff = samples(name, 8)
    x, log_det = coords.to_positions(torsions, stiff)
    shifted = x + torch.tensor([0.3, -0.2, 0.1], dtype=x.dtype)
    torsions_again, stiff_again, log_det_again = coords.from_positions(shifted)
    again, _ = coords.to_positions(torsions_again, stiff_again)
    assert superposed_deviation(again, coords.canonicalise(x)).max() < 1e-8
    inside = coords.contains(x)
    assert inside.any()
    assert torch.equal(coords.canonicalise(x)[inside], x[inside])
    torch.testing.assert_close(stiff_again[inside], stiff[inside], atol=1e-8, rtol=0)
    torch.testing.assert_close(log_det_again[inside], log_det[inside], atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("name", "temperature"),
    [("cycloheptane", 3000), ("beta-glucose", 1000), ("tert-butylbenzene", 1000), ("hydrazine", 1000)],
)
def test_contained_samples_are_those_that_the_inverse_map_finds_where_they_are(name, temperature):
    coords = coordinates(name)
    x, log_det = coords.to_positions(*samples(name, 2000, (temperature / 300) ** 0.5))
    inside = coords.contains(x)
    assert inside.double().mean() > 0.9
    # Rings torn open do leave the domain, and their labels in order are another configuration's.
    assert inside.all() == (name != "cycloheptane")
    again = coords.from_positions(x)[2]
    torch.testing.assert_close(again[inside], log_det[inside], atol=1e-6, rtol=0)
    assert not torch.isclose(again[~inside], log_det[~inside]).any()
    images = coords.randomise_labels(x, torch.Generator().manual_seed(0))
    assert torch.equal(coords.contains(images), inside)
    assert torch.equal(coords.canonicalise(images)[inside], x[inside])


def check_frames(name):
    coords, x = coordinates(name), frames(name)
    torsions, stiff, log_det = coords.from_positions(x)
    again, log_det_again = coords.to_positions(torsions, stiff)
    assert superposed_deviation(again, coords.canonicalise(x)).max() < 1e-8
    torch.testing.assert_close(log_det_again, log_det, atol=1e-8, rtol=0)


@pytest.mark.parametrize("check", [check_log_det, check_inverse, check_frames])
@pytest.mark.parametrize("name", FEW)
def test_map(name, check):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("check", [check_log_det, check_inverse, check_frames])
@pytest.mark.parametrize("name", sorted(set(listed()) - set(FEW)))
def test_map_of_every_listed_molecule(name, check):
    check(name)


@pytest.mark.parametrize("name", ["alanine-dipeptide", "cyclohexane", "butynenitrile", "carbon-dioxide"])
def test_inverse_map_has_the_inverse_jacobian(name):
    coords = coordinates(name)
    torsions, stiff = samples(name, 1)
    q = torch.cat([torsions[0], stiff[0]])
    x = internal(name, q)

    def back(x):
        torsions, stiff, _ = coords.from_positions(x[None])
        return torch.cat([torsions[0], stiff[0]])

    forward = torch.autograd.functional.jacobian(lambda q: internal(name, q), q).reshape(-1, len(q))
    backward = torch.autograd.functional.jacobian(back, x).reshape(len(q), -1)
    torch.testing.assert_close(backward @ forward, torch.eye(len(q), dtype=x.dtype), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["butane", "alanine-dipeptide", "crotonaldehyde", "dimethyl-disulfide"])
def test_torsions_have_the_sign_of_rdkit(name):
    coords, mol = coordinates(name), molecule(name)
    torsions, stiff = samples(name, 3)
    x, _ = coords.to_positions(torsions, stiff)
    angles = coords.circle.stretch(torsions.T)[0].T
    free = [k for k in range(coords.n_torsions) if coords.folds[k] == 1]
    assert free
    for k in free:
        atoms = [int(a) for a in coords.torsion_names[k].split("-")]
        for row in range(3):
            angle = rdMolTransforms.GetDihedralRad(conformer(x[row].numpy()), *atoms)
            assert angle == pytest.approx(float(angles[row, k]), abs=1e-9)
    assert mol.n_atoms == coords.n_atoms


@pytest.mark.parametrize(
    "name", ["alanine-dipeptide", "cyclohexane", "butynenitrile", "cyanogen", "spirononane"]
)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_gradients_are_finite_however_far_a_sample_is(name, scale):
    coords = build_coordinates(molecule(name), frames(name))
    torsions, stiff = samples(name, 64, scale)
    torsions, stiff = torsions.float().requires_grad_(), stiff.float().requires_grad_()
    x, log_det = coords.to_positions(torsions, stiff)
    bounded = torch.isfinite(x).all(-1).all(-1)
    assert bounded.float().mean() > (0.9 if scale < 100 else 0.0)
    torch.where(bounded[:, None, None], x, 0.0).sum().backward(retain_graph=True)
    assert torch.isfinite(torsions.grad).all()
    assert not torch.isnan(log_det).any()


def test_gradients_of_the_inverse_are_finite_at_collinear_and_coincident_atoms():
    coords = coordinates("butane")
    x = frames("butane")[:3].clone()
    x[0, 3] = x[0, 2]
    x[1, 2] = 2 * x[1, 1] - x[1, 0]
    x[2] = 0.0
    x.requires_grad_()
    torsions, stiff, _ = coords.from_positions(x)
    (torsions.sum() + stiff.sum()).backward()
    assert torch.isfinite(x.grad).all()


def test_single_precision_places_atoms_to_a_hundred_thousandth_of_a_nanometre():
    single = build_coordinates(molecule("ibuprofen"), frames("ibuprofen"))
    torsions, stiff = samples("ibuprofen", 100)
    exact, log_det = coordinates("ibuprofen").to_positions(torsions, stiff)
    x, log_det_single = single.to_positions(torsions.float(), stiff.float())
    assert (x.double() - exact).abs().max() < 1e-5
    torch.testing.assert_close(log_det_single.double(), log_det, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["cyclohexane", "alanine-dipeptide", "butynenitrile"])
def test_configuration_and_state_restore_the_coordinates(name):
    coords = coordinates(name)
    restored = MolecularCoordinates.from_config(json.loads(json.dumps(coords.config()))).double()
    restored.load_state_dict(coords.state_dict())
    torsions, stiff = samples(name, 4)
    for new, old in zip(
        restored.to_positions(torsions, stiff), coords.to_positions(torsions, stiff), strict=True
    ):
        assert torch.equal(new, old)
    torch.testing.assert_close(restored.base.log_prob(stiff), coords.base.log_prob(stiff))
    assert restored.log_multiplicity == coords.log_multiplicity


def test_frames_of_two_stereoisomers_are_refused():
    x = frames("beta-glucose").clone()
    x[5] *= torch.tensor([1.0, 1.0, -1.0], dtype=x.dtype)
    with pytest.raises(InputError, match=r"1 of 120 frames .* another stereoisomer"):
        build_coordinates(molecule("beta-glucose"), x)


def test_reloaded_coordinates_need_no_chemistry_packages():
    code = "import sys, boltzgen.coordinates.internal; print({'rdkit', 'openmm'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
