"""Averages and free energies of weighted samples, whatever the samples are.

Free energies are −kT ln Z, with Z in the measure of ``coordinates/internal.py``.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from boltzgen.errors import InputError
from boltzgen.sampling.importance import (
    Estimate,
    WeightStatistics,
    effective_sample_size,
    normalized_weights,
    systematic_resample,
    weighted_mean,
)
from boltzgen.units import thermal_energy

Values = Float[np.ndarray, " samples"]


class WeightedSamples(ABC):
    """What follows from log weights, energies and the statistics of the weights alone.

    Attributes
    ----------
    positions
        nm: what the samples are.
    log_weights
        Unnormalised, float64: what every average and free energy is made of.
    reduced_energies
        U/kT, float64.
    temperature
        K.
    statistics
        What the weights of the original samples say.
    """

    positions: Float[np.ndarray, "samples atoms 3"]
    log_weights: Float[np.ndarray, " samples"]
    reduced_energies: Float[np.ndarray, " samples"]
    temperature: float
    statistics: WeightStatistics

    def __len__(self) -> int:
        return len(self.log_weights)

    @property
    def kT(self) -> float:
        """kJ/mol."""
        return thermal_energy(self.temperature)

    @property
    def energies(self) -> Float[np.ndarray, " samples"]:
        """Potential energies in kJ/mol."""
        return self.reduced_energies * self.kT

    @cached_property
    def weights(self) -> Float[np.ndarray, " samples"]:
        """Weights that sum to one."""
        return normalized_weights(torch.from_numpy(self.log_weights)).numpy()

    @property
    def effective_sample_size(self) -> float:
        """Kish's, no weight clipped, of the original samples: resampling adds no information."""
        return self.statistics.effective_sample_size

    @property
    def effective_sample_size_fraction(self) -> float:
        return self.statistics.effective_sample_size / self.statistics.n_samples

    @property
    def pareto_k(self) -> float:
        """Tail shape of the original weights; below 0.7 weighted estimates are reliable."""
        return self.statistics.pareto_k

    @property
    def repeats(self) -> float:
        """How many times larger variances are than those of as many independent samples of these weights.

        One for samples of a model; more for frames of dynamics, and for samples that were drawn again.
        """
        if math.isnan(self.effective_sample_size):
            return 1.0  # independent samples, of whatever distribution it is that the model makes
        repeats = effective_sample_size(torch.from_numpy(self.log_weights)) / self.effective_sample_size
        return max(repeats, 1.0)

    @property
    def has_free_energy(self) -> bool:
        """Whether the mean of the weights is Z: samples came from a known density, refined or not."""
        return self.statistics.log_z is not None

    @property
    def log_z(self) -> Estimate:
        """ln Z and its standard error. Raises InputError for frames and models that have no density."""
        if self.statistics.log_z is None:
            raise InputError(
                "Frames of dynamics and samples of a model without a density have no free energy; sample with"
                " a model that has one, like flow or vae."
            )
        return self.statistics.log_z

    @property
    def free_energy(self) -> float:
        """−kT ln Z in kJ/mol."""
        return -self.kT * self.log_z.value

    @property
    def free_energy_stderr(self) -> float:
        """kJ/mol."""
        return self.kT * self.log_z.stderr

    @property
    def free_energy_kT(self) -> float:
        return -self.log_z.value

    @property
    def free_energy_stderr_kT(self) -> float:
        return self.log_z.stderr

    def mean(self, values: Values | Callable[[Float[np.ndarray, "samples atoms 3"]], Values]) -> Estimate:
        """Boltzmann average with its standard error.

        Parameters
        ----------
        values
            One value a sample, or a function that gives them from positions in nm (see
            ``boltzgen.observables``).

        Returns
        -------
        Estimate
            The error counts the samples for as many as they are worth: weights that differ, and frames of
            dynamics that resemble each other, are worth less than their number.

        Raises
        ------
        InputError
            For values of another shape than [samples].
        """
        if callable(values):
            values = values(self.positions)
        if np.shape(values) != (len(self),):
            raise InputError(f"Values of shape {np.shape(values)} for {len(self)} samples; give one each.")
        log_weights = torch.from_numpy(self.log_weights)
        estimate = weighted_mean(torch.as_tensor(np.asarray(values, dtype=np.float64)), log_weights)
        return Estimate(estimate.value, estimate.stderr * math.sqrt(self.repeats))

    @cached_property
    def mean_energy(self) -> Estimate:
        """Mean potential energy ⟨U⟩ in kJ/mol."""
        return self.mean(self.energies)

    def draw(self, n: int, generator: torch.Generator | None = None) -> np.ndarray:
        """Indices of ``n`` samples, drawn by their weights by systematic resampling.

        Parameters
        ----------
        n
            How many.
        generator
            Of random numbers; without one the same draw is made every time.

        Returns
        -------
        np.ndarray
            [n], sorted; a sample of large weight comes up several times.
        """
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return systematic_resample(torch.from_numpy(self.log_weights), n, generator).numpy()
