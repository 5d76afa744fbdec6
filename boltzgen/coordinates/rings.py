"""Basins of the stiff coordinates: ring puckers and inverted nitrogens, as classes of thermal frames.

Each ring system is one block; so is each pyramidal nitrogen in no ring that inverts. The basin of a frame is
the pattern of the signs of its ring torsions and nitrogen pyramids. One pattern holds the configurations
between two planes, which is one chair, one twist boat or one of the ten envelopes of a five-membered ring.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.coordinates.base import MixtureBlock, StiffBase
from boltzgen.coordinates.pyramids import is_pyramidal, pyramid_volume
from boltzgen.coordinates.whitening import held, shrunk_covariance
from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.symmetry import MolecularGraph

BENT = 0.2  # sine of a ring torsion below which it has no side
ANTI = 2.0  # radians: larger ones count as extended
RARE = 0.001  # share of the frames below which a pattern is no basin of its own
FEWEST = 8  # frames of a basin
MOST_BASINS = 128
USUALLY = 0.8  # share of frames in which a nitrogen with two basins is out of plane
LARGE_RING = 7  # atoms from which a basin is a bent valley, along which torsions turn together
PARTS, FRAMES_OF_PART = 4, 400  # at most so many parts of a basin, each of so many frames or more
ROUNDS = 25  # of the search for parts
POPULATION_VARIANCE = 2.0  # of ln(population) as an estimate of ln Z: 1.4 kT
SMALLEST_SHARE = 0.03  # of the weight: shared equally by all basins, whatever their free energy


@dataclass(frozen=True)
class Block:
    """Atoms whose coordinates have several basins; the basin [frames] of each frame, 0, 1, …, −1 for none."""

    atoms: frozenset[int]
    basins: Tensor

    @property
    def n_basins(self) -> int:
        return int(self.basins.max()) + 1


def blocks_with_basins(graph: MolecularGraph, rings: list[tuple[int, ...]], x: Tensor) -> list[Block]:
    """The ring systems and nitrogens of which frames ``x`` [n, atoms, 3] show more than one basin."""
    nitrogens = [
        i for i in range(graph.n_atoms) if graph.atom_labels[i][0] == 7 and len(graph.neighbours[i]) == 3
    ]
    systems = ring_systems(rings)
    in_rings = frozenset().union(*systems)
    systems += [frozenset([i]) for i in nitrogens if i not in in_rings]
    blocks = []
    for atoms in systems:
        features = [_torsion_class(ring, x) for ring in rings if ring[0] in atoms]
        features += [_pyramid_class(graph, i, x) for i in nitrogens if i in atoms]
        basins = classes(torch.cat(features))
        large = [ring for ring in rings if ring[0] in atoms and len(ring) >= LARGE_RING]
        if large:
            torsions = torch.cat([ring_torsions(ring, x) for ring in large])
            basins = parted(basins, torch.cat([torsions.cos(), torsions.sin()]).T)
        if int(basins.max()) > 0:
            blocks.append(Block(atoms, basins))
    return blocks


def ring_systems(rings: list[tuple[int, ...]]) -> list[frozenset[int]]:
    """Atoms of rings that share atoms, taken together."""
    systems: list[frozenset[int]] = []
    for ring in rings:
        joined = frozenset(ring).union(*(s for s in systems if s & frozenset(ring)))
        systems = [s for s in systems if not s & joined] + [joined]
    return systems


def flexible_rings(rings: list[tuple[int, ...]], x: Tensor) -> list[tuple[int, ...]]:
    """Rings that are not flat in frames ``x`` [n, atoms, 3]."""
    return [ring for ring in rings if bool((_mostly_bent(ring_torsions(ring, x))).any())]


def _mostly_bent(torsions: Tensor) -> Tensor:
    """Which torsions [k] of [k, n] are out of plane in many frames."""
    return (torch.sin(torsions).abs() > BENT).double().mean(1) > 0.3


def ring_torsions(ring: tuple[int, ...], x: Tensor) -> Tensor:
    """Torsions [size, n] about the bonds of ``ring`` at x [n, atoms, 3]."""
    corners = (x[:, torch.tensor(ring).roll(-k)].numpy() for k in range(4))
    return torch.from_numpy(dihedrals(*corners)).T


def _torsion_class(ring: tuple[int, ...], x: Tensor) -> Tensor:
    """Class of each ring torsion: −1, 0 (flat in nearly all frames), 1, and 2 where it is extended."""
    torsions = ring_torsions(ring, x)
    result = torch.where(torsions.abs() > ANTI, 2, torsions.sign().long())
    return result * _mostly_bent(torsions)[:, None]


def _pyramid_class(graph: MolecularGraph, nitrogen: int, x: Tensor) -> Tensor:
    """Side [1, n] of its neighbours' plane on which ``nitrogen`` is; 0 where it is flat in many frames."""
    volume = pyramid_volume(graph, nitrogen, x)
    return (volume.sign().long() * is_pyramidal(volume, USUALLY))[None]


def classes(features: Tensor) -> Tensor:
    """Basin [n] of each column of ``features`` [k, n]: the number of its pattern, most frequent first.

    A rare pattern joins a frequent one that differs in one place only; otherwise it has no basin: −1.
    """
    patterns, members, counts = features.unique(dim=1, return_inverse=True, return_counts=True)
    order = counts.argsort(descending=True)
    frequent = int((counts >= max(RARE * features.shape[1], FEWEST)).sum())
    kept = order[: max(1, min(MOST_BASINS, frequent))]
    distance, nearest = (patterns[:, :, None] != patterns[:, None, kept]).sum(0).min(1)
    return torch.where(distance > 1, -1, nearest)[members]


def parted(basins: Tensor, points: Tensor) -> Tensor:
    """Basins [n] with those of many frames divided into parts, so that a Gaussian fits each part well.

    A pucker of a large ring is a curved valley. It is divided by k-means of the frames' ``points`` [n, d],
    which starts from frames that lie far apart. Parts of few frames have no basin: −1.
    """
    result, count = torch.full_like(basins, -1), 0
    for basin in range(int(basins.max()) + 1):
        members = (basins == basin).nonzero().flatten()
        part = _parts(points[members], min(PARTS, max(1, len(members) // FRAMES_OF_PART)))
        for k in part.unique():
            chosen = members[part == k]
            if len(chosen) >= FEWEST:
                result[chosen] = count
                count += 1
    return result


def _parts(points: Tensor, k: int) -> Tensor:
    """The cluster [n] of each of ``points`` [n, d]: Lloyd's algorithm, started from the farthest points."""
    centres = points.mean(0, keepdim=True)
    for _ in range(k - 1):
        farthest = torch.cdist(points, centres).min(1).values.argmax()
        centres = torch.cat([centres, points[farthest, None]])
    nearest = torch.zeros(len(points), dtype=torch.long)
    for _ in range(ROUNDS if k > 1 else 0):
        nearest = torch.cdist(points, centres).argmin(1)
        centres = torch.stack(
            [points[nearest == j].mean(0) if bool((nearest == j).any()) else centres[j] for j in range(k)]
        )
    return nearest


def mixture(indices: list[int], y: Tensor, basins: Tensor, distances: Tensor, slopes: Tensor) -> MixtureBlock:
    """A Gaussian for each basin of frames of whitened coordinates ``y`` [stiff, n]; −1 counts for none.

    ``distances`` [k, n], of the given ``slopes`` [basins, k, stiff] in y, keep the spread that they have in
    the frames.
    """
    chosen = y[indices]
    n_basins = int(basins.max()) + 1
    block = MixtureBlock(indices, n_basins)
    weights, means, factors = [], [], []
    for k in range(n_basins):
        members, lengths = chosen[:, basins == k], distances[:, basins == k]
        mean = members.mean(1, keepdim=True)
        weights.append(members.shape[1] / chosen.shape[1])
        means.append(mean[:, 0])
        free = max(members.shape[1] - 1, 1)
        wanted = shrunk_covariance(lengths - lengths.mean(1, keepdim=True), free)
        covariance = held(shrunk_covariance(members - mean, free), slopes[k][:, indices], wanted)
        factors.append(torch.linalg.cholesky(covariance))
    block.set(torch.tensor(weights, dtype=torch.float64), torch.stack(means), torch.stack(factors))
    return block


def basin_shares(block: MixtureBlock, base: StiffBase, y: Tensor, basins: Tensor, work: Tensor) -> Tensor:
    """Weights [k] of the basins of ``block`` by free energy, from frames y [n, stiff] within each.

    ``work`` [n] is u − ln |∂x/∂(τ, r)|. In one basin E[u + ln q_k] over its frames is −ln Z_k, less the
    divergence of the Gaussian from the basin (the bound of Gibbs), which is much alike in all basins;
    populations of frames from a quench do not enter.
    """
    rest = work + base.log_prob(y, but=block)
    members = [(basins == k).nonzero().flatten() for k in range(len(block.means))]
    own = y[:, block.indices]
    terms = [-(rest[rows] + block.component_log_prob(own[rows], k)) for k, rows in enumerate(members)]
    counts = torch.tensor([len(rows) for rows in members]).double()
    log_z = torch.stack([term.mean() for term in terms])
    variance = torch.stack([term.var(unbiased=False) for term in terms]) / counts + 1e-3
    # Populations, good to a few kT, steady the estimate where frames are few.
    population = counts.log() + torch.median(log_z - counts.log())
    log_share = (log_z / variance + population / POPULATION_VARIANCE) / (
        1.0 / variance + 1.0 / POPULATION_VARIANCE
    )
    shares = torch.softmax(log_share, 0)
    return (1.0 - SMALLEST_SHARE) * shares + SMALLEST_SHARE / len(shares)
