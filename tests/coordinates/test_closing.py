import torch
from torch import distributions

from boltzgen.coordinates.closing import closing_distances
from boltzgen.coordinates.whitening import Whitening, held
from boltzgen.molecules.symmetry import MolecularGraph
from tests.coordinates.frames import coordinates, frames, molecule


def gaussian(d: int, seed: int) -> torch.Tensor:
    factor = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return factor @ factor.T + 0.1 * torch.eye(d)


def test_held_combinations_have_the_covariance_wanted_and_the_rest_given_them_stays():
    covariance, wanted = gaussian(6, 0), gaussian(2, 1)
    slopes = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    result = held(covariance, slopes, wanted)
    torch.testing.assert_close(slopes @ result @ slopes.T, wanted)

    def given(c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        regression = c @ slopes.T @ torch.linalg.inv(slopes @ c @ slopes.T)
        return regression, c - regression @ slopes @ c

    for kept, before in zip(given(result), given(covariance), strict=True):
        torch.testing.assert_close(kept, before)


def test_held_covariance_is_the_nearest_in_relative_entropy():
    covariance, wanted = gaussian(5, 3), gaussian(2, 4)
    slopes = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    result = held(covariance, slopes, wanted)
    zero = torch.zeros(5, dtype=torch.float64)

    def entropy(c: torch.Tensor) -> float:
        return float(
            distributions.kl_divergence(
                distributions.MultivariateNormal(zero, c), distributions.MultivariateNormal(zero, covariance)
            )
        )

    # Changes that leave the spread of the combinations alone: P C P' with slopes P = 0.
    null = torch.eye(5) - torch.linalg.pinv(slopes) @ slopes
    for seed in range(8):
        change = null @ (gaussian(5, 10 + seed) - gaussian(5, 30 + seed)) @ null.T
        assert entropy(result + 1e-3 * change) > entropy(result)


def test_combinations_that_depend_on_each_other_are_held_together():
    covariance, wanted = gaussian(6, 0), gaussian(2, 1)
    slopes = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    mixing = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    twice = held(covariance, mixing @ slopes, mixing @ wanted @ mixing.T)
    torch.testing.assert_close(twice, held(covariance, slopes, wanted))
    assert held(covariance, slopes[:0], wanted[:0, :0]) is covariance


def test_whitening_of_few_frames_keeps_a_sum_that_does_not_vary():
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(30, 40, dtype=torch.float64, generator=generator)
    raw[0] = -raw[1:10].sum(0) + 1e-3 * torch.randn(40, dtype=torch.float64, generator=generator)
    total = torch.zeros(1, 30, dtype=torch.float64)
    total[0, :10] = 1.0
    plain, holding = Whitening(30), Whitening(30)
    plain.fit(raw, torch.zeros(40), [])
    holding.fit(raw, torch.zeros(40), [], total @ raw, total)
    y = torch.randn(30, 1000, dtype=torch.float64, generator=generator)
    assert (total @ plain.unwhiten(y)[0]).std() > 1.0
    assert (total @ holding.unwhiten(y)[0]).std() < 2e-3


def test_slopes_predict_distances_that_no_coordinate_holds():
    for name in ("cyclodecane", "imipramine"):
        mol, coords, x = molecule(name), coordinates(name), frames(name)
        graph = MolecularGraph.from_rdmol(mol.rdmol)
        distances = closing_distances(graph, coords.zmatrix, coords.groups, range(mol.n_atoms))
        assert len(distances) >= 6
        angles, raw, _ = coords.unbounded.measure(coords.canonicalise(x[:1]).permute(2, 1, 0))
        slopes = distances.slopes(coords.unbounded, raw)[0]
        direction = torch.randn(raw.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        ends = [coords.unbounded.positions(angles, raw + sign * 1e-5 * direction)[0] for sign in (1, -1)]
        after, before = (distances.of(end.permute(2, 1, 0))[:, 0] for end in ends)
        torch.testing.assert_close((after - before) / 2e-5, (slopes @ direction)[:, 0], rtol=1e-5, atol=1e-7)
