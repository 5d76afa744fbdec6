import pytest
import torch
from torch import distributions

from boltzgen.coordinates.base import MixtureBlock, StiffBase
from boltzgen.coordinates.build import build_coordinates
from boltzgen.coordinates.rings import classes, parted, ring_systems, ring_torsions
from boltzgen.coordinates.whitening import Whitening, shrunk_covariance
from tests.coordinates.frames import coordinates, frames, molecule, samples


def base_with_mixture():
    generator = torch.Generator().manual_seed(0)
    block = MixtureBlock([1, 3], 3)
    factors = torch.eye(2).double().repeat(3, 1, 1) + 0.3 * torch.rand(3, 2, 2, generator=generator).tril()
    block.set(torch.tensor([1.0, 2.0, 5.0]), 3 * torch.randn(3, 2, generator=generator), factors)
    return StiffBase(5, [block]), block


def test_density_of_the_base_is_that_of_torch_distributions():
    base, block = base_with_mixture()
    y = torch.randn(50, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(logits=block.log_weights),
        distributions.MultivariateNormal(block.means, scale_tril=block.factors),
    )
    rest = distributions.Normal(0.0, 1.0).log_prob(y[:, [0, 2, 4]]).sum(1)
    torch.testing.assert_close(base.log_prob(y), mixture.log_prob(y[:, [1, 3]]) + rest)
    assert base.multimodal_indices.tolist() == [1, 3]


def test_weights_of_the_mixture_are_trained_and_stay_normalised():
    base, block = base_with_mixture()
    assert [name for name, _ in base.named_parameters()] == ["block_modules.0.log_weights"]
    y = base.sample(4, torch.Generator().manual_seed(3))
    assert not y.requires_grad
    base.log_prob(y)[0].backward()
    components = torch.cat([block.component_log_prob(y[:1, [1, 3]], k) for k in range(3)])
    posterior = torch.softmax(block.log_weights.detach() + components, 0)
    torch.testing.assert_close(block.log_weights.grad, posterior - torch.softmax(block.log_weights, 0))
    before = base.log_prob(y).detach()
    with torch.no_grad():
        block.log_weights += 3.0
    torch.testing.assert_close(base.log_prob(y).detach(), before)
    torch.testing.assert_close(base.sample(4, torch.Generator().manual_seed(3)), y)
    block.set_weights(torch.tensor([2.0, 4.0, 10.0]))
    torch.testing.assert_close(base.log_prob(y).detach(), before)
    assert base.state_dict().keys() == {
        f"block_modules.0.{name}" for name in ("log_weights", "means", "factors", "inverses")
    }


@torch.no_grad()
def test_samples_of_the_base_have_its_moments():
    base, block = base_with_mixture()
    n = 100_000
    y = base.sample(n, torch.Generator().manual_seed(2))
    weights = block.log_weights.exp()
    mean = weights @ block.means
    spread = torch.einsum("k,kij->ij", weights, block.factors @ block.factors.mT)
    spread = spread + (weights[:, None] * block.means).T @ block.means - mean[:, None] * mean
    assert (y[:, [1, 3]].mean(0) - mean).abs().max() < 5 * (spread.diagonal().max() / n).sqrt()
    torch.testing.assert_close(torch.cov(y[:, [1, 3]].T), spread, rtol=0.05, atol=0.05)
    torch.testing.assert_close(torch.cov(y[:, [0, 2, 4]].T), torch.eye(3).double(), rtol=0, atol=0.03)


def test_stiff_coordinates_of_many_frames_are_white():
    x = frames("butane", copies=300)
    coords = build_coordinates(molecule("butane"), x, dtype=torch.float64)
    _, stiff, _ = coords.from_positions(x)
    assert not coords.base.blocks
    # Mirror images of the frames enter the fit as well, which the frames alone do not quite average out.
    covariance = torch.cov(stiff.T)
    assert (covariance.diagonal() - 1.0).abs().max() < 0.1
    assert (covariance - torch.diag(covariance.diagonal())).square().mean().sqrt() < 0.05


def test_whitening_inverts_itself_and_knows_its_determinant():
    raw = torch.randn(6, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).cumsum(0)
    whitening = Whitening(6)
    whitening.fit(raw, torch.zeros(400), [[4, 2]])
    y, log_det = whitening.whiten(raw)
    torch.testing.assert_close(whitening.unwhiten(y)[0], raw)
    torch.testing.assert_close(torch.linalg.slogdet(whitening.factor)[1], log_det)
    assert (whitening.inverse[[4, 2]][:, [0, 1, 3, 5]] == 0).all()


def test_blocks_that_correlate_are_whitened_each_within_itself():
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(3, 200_000, dtype=torch.float64, generator=generator)
    raw = torch.randn(9, 3, dtype=torch.float64, generator=generator) @ common
    raw = raw + 0.2 * torch.randn(9, 200_000, dtype=torch.float64, generator=generator)
    whitening = Whitening(9)
    blocks, rest = [[0, 5, 2], [3, 4]], [1, 6, 7, 8]
    whitening.fit(raw, torch.zeros(200_000), blocks)
    y, log_det = whitening.whiten(raw)
    covariance = torch.cov(y)
    for block in (*blocks, rest):
        within = covariance[block][:, block]
        torch.testing.assert_close(within, torch.eye(len(block)).double(), atol=0.02, rtol=0)
    assert covariance[rest][:, blocks[0] + blocks[1]].abs().max() < 0.02
    outside = [1, 3, 4, 6, 7, 8]
    assert (whitening.inverse[blocks[0]][:, outside] == 0).all()
    torch.testing.assert_close(torch.linalg.slogdet(whitening.factor)[1], log_det)
    torch.testing.assert_close(whitening.unwhiten(y)[0], raw)


def test_covariance_of_few_frames_is_positive_definite_and_of_many_unbiased():
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(10, 10, dtype=torch.float64, generator=generator)
    few = factor @ torch.randn(10, 4, dtype=torch.float64, generator=generator)
    assert torch.linalg.eigvalsh(shrunk_covariance(few, 4)).min() > 0
    many = factor @ torch.randn(10, 100_000, dtype=torch.float64, generator=generator)
    exact = factor @ factor.T
    assert (shrunk_covariance(many, 100_000) - exact).norm() < 0.02 * exact.norm()


def test_rare_patterns_join_a_neighbour_or_none():
    features = torch.cat([torch.ones(3, 500), -torch.ones(3, 400)], 1)
    features = torch.cat([features, torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]).T], 1)
    found = classes(torch.cat([features, torch.tensor([[2.0], [2.0], [1.0]])], 1))
    assert found.tolist() == [0] * 500 + [1] * 400 + [0, 0, -1]


def test_ring_systems_and_torsions():
    assert ring_systems([(0, 1, 2), (5, 6, 7), (2, 3, 4)]) == [
        frozenset({5, 6, 7}),
        frozenset({0, 1, 2, 3, 4}),
    ]
    ring = tuple(molecule("cyclohexane").rdmol.GetRingInfo().AtomRings()[0])
    chair = torch.as_tensor(molecule("cyclohexane").seed_conformers(1))
    torsions = ring_torsions(ring, chair)[:, 0]
    assert torch.allclose(torsions.abs(), torch.full((6,), 0.97, dtype=torch.float64), atol=0.1)
    assert torch.equal(torsions.sign(), -torsions.roll(1).sign())


@pytest.mark.parametrize(
    "name",
    ["cyclohexane", "pyrrolidine", "decalin", "cyclopentanone", "norbornane", "cyclodecane"],
)
def test_rings_of_untrained_samples_are_closed(name):
    mol = molecule(name)
    x = coordinates(name).to_positions(*samples(name, 2000))[0]
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.rdmol.GetBonds() if b.IsInRing()]
    i, j = torch.tensor(bonds).T
    usual = (frames(name)[:, i] - frames(name)[:, j]).norm(dim=-1).mean(0)
    stretch = (x[:, i] - x[:, j]).norm(dim=-1) / usual - 1
    assert (stretch.abs() < 0.15).all(1).double().mean() >= 0.99


def test_a_curved_basin_is_divided_where_it_has_the_frames():
    generator = torch.Generator().manual_seed(4)
    along = 3.0 * torch.rand(2000, generator=generator, dtype=torch.float64)
    arc = torch.stack([along.cos(), along.sin()], 1)
    points = torch.cat([arc, arc[:300] + 5.0])
    basins = torch.cat([torch.zeros(2000), torch.ones(290), -torch.ones(10)]).long()
    parts = parted(basins, points)
    assert bool((parts[-10:] == -1).all())
    assert parts[2000:2290].unique().numel() == 1
    assert parts[:2000].unique().tolist() == [0, 1, 2, 3]
    order = along.argsort()
    changes = int((parts[:2000][order].diff() != 0).sum())
    assert changes == 3  # each part is one stretch of the arc
