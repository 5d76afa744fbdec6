"""Every figure by which samples are held against a reference ensemble, each beside its null value.

A ``Yardstick`` holds two independent halves of a reference and the nulls that follow from them; it measures
any number of sample sets. Samples with weights are measured twice, as generated and reweighted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from boltzgen.conformers import TorsionStates, torsion_states
from boltzgen.evaluation.description import Described
from boltzgen.evaluation.discrepancy import (
    BlockedDistance,
    Discrepancy,
    DistanceFunction,
    Halves,
    require_frames,
)
from boltzgen.evaluation.discriminator import balanced_accuracy
from boltzgen.evaluation.kernels import permutation_p_value, squared_mmd
from boltzgen.evaluation.marginals import (
    circular_ks_statistic,
    emptiest_angle,
    js_divergence,
    kl_divergence,
    ks_statistic,
)
from boltzgen.evaluation.metrics import Coverage, mode_coverage
from boltzgen.evaluation.neighbours import copied_share
from boltzgen.evaluation.transport import euclidean_wasserstein, line_wasserstein, torus_wasserstein
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.torsions import Torsion
from boltzgen.sampling.importance import Estimate, systematic_resample

MOST_MARGINAL = 5000
MOST_TRANSPORT = 1000  # rows a plan: the network simplex takes a time that grows with their cube
MOST_CLASSIFIED = 2000
HIGH_ENERGY_QUANTILE = 0.999


@dataclass(frozen=True)
class Comparison:
    """How far one set of samples is from the reference.

    figures: by name, over the whole molecule. torsions: of each torsion by its name, and then by the
    figure's. high_energies: share of samples above the reference's 99.9 % quantile, 0.001 if all is well.
    copied: None where there were no training frames. mmd_p_value: of a permutation test.
    """

    n_samples: int
    figures: dict[str, Discrepancy]
    torsions: dict[str, dict[str, Discrepancy]]
    coverage: Coverage
    high_energies: Estimate
    mmd_p_value: float
    copied: Estimate | None = None


@dataclass
class Yardstick:
    """A reference in two halves that share no ladder, and what its frames say of themselves.

    most_transport: rows of a transport plan and of a kernel matrix. Raises InputError where a half has under
    200 frames.
    """

    molecule: Molecule
    torsions: list[Torsion]
    halves: tuple[Described, Described]
    seed: int = 0
    most_transport: int = MOST_TRANSPORT
    states: tuple[TorsionStates, ...] = field(init=False)
    threshold: float = field(init=False)

    def __post_init__(self) -> None:
        for half in self.halves:
            require_frames(half.energies)
        self.positions = np.concatenate([half.positions for half in self.halves])
        values = np.concatenate([half.torsions for half in self.halves])
        equal = np.full(len(values), 1.0 / len(values))
        self.states = tuple(
            torsion_states(torsion, values[:, i], equal) for i, torsion in enumerate(self.torsions)
        )
        energies = np.concatenate([half.energies for half in self.halves])
        self.threshold = float(np.quantile(energies, HIGH_ENERGY_QUANTILE))
        self._whole = self._whole_figures()
        self._marginal = [self._torsion_figures(i, values[:, i]) for i in range(len(self.torsions))]
        self._classifier = self._distance(self._classified, "features", MOST_CLASSIFIED)

    def measure(
        self, samples: Described, training: Float[np.ndarray, "frames features"] | None
    ) -> Comparison:
        """Of equally weighted samples; ``training``: features of the frames that the model learnt from."""
        copied = None
        if training is not None:
            test = np.concatenate([half.features for half in self.halves])
            copied = copied_share(samples.features, training, test, self.seed)
        found = self._measure(samples)
        found.figures["classifier_balanced_accuracy"] = self._classifier(samples.features)
        return replace(found, copied=copied)

    def measure_weighted(self, samples: Described, log_weights: Float[np.ndarray, " samples"]) -> Comparison:
        """Of samples drawn again by their weights.

        Repeated samples would give themselves away to a classifier and to nearest neighbours: those two
        figures are of the samples as generated only.
        """
        generator = torch.Generator().manual_seed(self.seed)
        drawn = systematic_resample(torch.as_tensor(log_weights), len(samples), generator).numpy()
        return self._measure(samples.take(drawn))

    def _measure(self, samples: Described) -> Comparison:
        require_frames(samples.energies)
        figures = {name: distance(getattr(samples, of)) for name, (of, distance) in self._whole.items()}
        by_torsion = {
            torsion.name: {name: distance(samples.torsions[:, i]) for name, distance in distances.items()}
            for i, (torsion, distances) in enumerate(zip(self.torsions, self._marginal, strict=True))
        }
        for name in ("ks", "kl", "js") if by_torsion else ():
            figures[f"{name}_worst_torsion"] = max((one[name] for one in by_torsion.values()), key=_value)
        n = len(samples)
        high = float(np.mean(~(samples.energies <= self.threshold)))
        rows = np.random.default_rng(self.seed).permutation(n)[: min(self.most_transport, n)]
        reference = np.concatenate([half.features for half in self.halves])
        others = np.random.default_rng(self.seed).permutation(len(reference))[: len(rows)]
        return Comparison(
            n,
            figures,
            by_torsion,
            mode_coverage(self.states, samples.positions, np.ones(n), self.positions),
            Estimate(high, math.sqrt(max(high * (1 - high), 1.0 / n) / n)),
            permutation_p_value(samples.features[rows], reference[others], seed=self.seed),
        )

    def _whole_figures(self) -> dict[str, tuple[str, BlockedDistance]]:
        periods = np.array([torsion.period for torsion in self.torsions])
        figures: dict[str, tuple[str, BlockedDistance]] = {
            "ks_energy": ("energies", self._distance(ks_statistic, "energies", MOST_MARGINAL)),
            "mmd_squared": ("features", self._distance(squared_mmd, "features", self.most_transport)),
        }
        for order in (1, 2):
            on_line = partial(line_wasserstein, order=order)
            in_space = partial(euclidean_wasserstein, order=order)
            on_torus = partial(torus_wasserstein, periods=periods, order=order)
            if len(periods):
                figures[f"w{order}_torsions_rad"] = (
                    "torsions",
                    self._distance(on_torus, "torsions", self.most_transport),
                )
            figures[f"w{order}_energy_kT"] = ("energies", self._distance(on_line, "energies", MOST_MARGINAL))
            figures[f"w{order}_features"] = (
                "features",
                self._distance(in_space, "features", self.most_transport),
            )
            figures[f"w{order}_distances_nm"] = (
                "distances",
                self._distance(in_space, "distances", self.most_transport),
            )
        return figures

    def _torsion_figures(self, column: int, values: np.ndarray) -> dict[str, BlockedDistance]:
        period = self.torsions[column].period
        cut = emptiest_angle(values, period)
        halves = (self.halves[0].torsions[:, column], self.halves[1].torsions[:, column])
        distances: dict[str, DistanceFunction] = {
            "ks": lambda x, y: circular_ks_statistic(x, y, cut, period),
            "kl": lambda x, y: kl_divergence(x, y, period),
            "js": lambda x, y: js_divergence(x, y, period),
        }
        return {
            name: BlockedDistance(distance, halves, MOST_MARGINAL, self.seed)
            for name, distance in distances.items()
        }

    def _distance(self, distance: DistanceFunction, of: str, most: int) -> BlockedDistance:
        halves: Halves = (getattr(self.halves[0], of), getattr(self.halves[1], of))
        return BlockedDistance(distance, halves, most, self.seed)

    def _classified(self, x: np.ndarray, y: np.ndarray) -> float:
        return balanced_accuracy(x, y, self.seed)


def _value(one: Discrepancy) -> float:
    return one.value
