"""Ensemble: conformations of one molecule with their Boltzmann weights, and what follows from the weights.

Free energies are −kT ln Z, with Z in the measure of ``coordinates/internal.py``. Arrays are numpy's, since
this is what a person takes away; reading and writing folders is in ``ensemble_folder.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.distinct_conformers import as_mol
from boltzgen.ensemble_folder import MOST_TRAJECTORY_FRAMES, EnsembleFiles, read_ensemble, write_ensemble
from boltzgen.errors import InputError, NotConvergedError
from boltzgen.molecules import conversion
from boltzgen.molecules.molecule import Molecule
from boltzgen.molecules.stereo_check import PERCEPTION_SECONDS
from boltzgen.plots.methods import SampleFigures
from boltzgen.records.run import EnsembleSummary
from boltzgen.sampling.importance import WeightStatistics, log_importance_weights
from boltzgen.weighted_conformations import WeightedConformations

if TYPE_CHECKING:
    import mdtraj

PERCEIVED = "n_stereo_perceived"  # in metadata: of how many conformations RDKit perceived the stereo
EQUIVALENCE_MARKS = "equivalence_marks"  # in metadata: equivalent atoms that the energy distinguishes differ
DensityKind = Literal["exact", "extended", "bound", "none"]


@dataclass(frozen=True)
class Ensemble(WeightedConformations, SampleFigures):
    """Weighted conformations.

    Make one with ``from_samples``, ``from_weighted``, ``from_frames`` or ``from_generated``, or ``load`` it.

    Attributes
    ----------
    positions
        nm, float32.
    log_weights
        Unnormalised, float64: what every average and free energy is made of.
    reduced_energies
        U/kT, float64.
    temperature
        K.
    statistics
        What the weights of the original samples say.
    metadata
        What a run adds to the summary.
    log_prob
        Log density of the model that the samples are of, where it is known: log weights of its own samples
        are −u − ``log_prob``. None for frames of dynamics, samples of a model without a density, and samples
        that were resampled or annealed after the model made them.
    density
        Which density ``log_prob`` is: "exact", log q(x); "extended", log p(z) p(x|z) / r(z|x) of a latent
        variable model; "bound", a lower bound of log q(x); "none" where there is none.
    """

    molecule: Molecule
    positions: Float[np.ndarray, "samples atoms 3"]
    log_weights: Float[np.ndarray, " samples"]
    reduced_energies: Float[np.ndarray, " samples"]
    temperature: float
    statistics: WeightStatistics
    metadata: Mapping[str, Any] = field(default_factory=dict)
    log_prob: Float[np.ndarray, " samples"] | None = None
    density: DensityKind = "none"

    def __post_init__(self) -> None:
        self.molecule.require_positions(self.positions)
        if not self.temperature > 0:
            raise InputError(f"The temperature is {self.temperature} K; give a positive one.")
        if self.density not in get_args(DensityKind) or (self.log_prob is None) != (self.density == "none"):
            raise InputError(
                f"The density is '{self.density}' {'without' if self.log_prob is None else 'with'} log_prob;"
                f" give log_prob and one of {', '.join(get_args(DensityKind)[:-1])}, or neither."
            )
        for name in ("log_weights", "reduced_energies", "log_prob"):
            values = getattr(self, name)
            if values is not None and (shape := values.shape) != (len(self.positions),):
                raise InputError(
                    f"{name} has shape {shape} for {len(self.positions)} positions; give one each."
                )

    @classmethod
    def from_samples(
        cls,
        molecule: Molecule,
        positions: Float[Tensor, "samples atoms 3"],
        reduced_energies: Float[Tensor, " samples"],
        log_prob: Float[Tensor, " samples"],
        temperature: float,
        metadata: Mapping[str, Any] | None = None,
        density: DensityKind = "exact",
    ) -> Ensemble:
        """Independent samples of a model with density ``log_prob``, weighted by exp(−u) / q.

        ``density``: "exact" or "extended", for which these weights are exact.
        """
        log_weights = log_importance_weights(reduced_energies, log_prob).cpu()
        _require_finite_weights(molecule, log_weights)
        statistics = WeightStatistics.of(log_weights)
        weighted = cls.from_weighted(
            molecule, positions, reduced_energies, log_weights, temperature, statistics, metadata
        )
        return replace(weighted, log_prob=_numpy(log_prob, np.float64), density=density)

    @classmethod
    def from_weighted(
        cls,
        molecule: Molecule,
        positions: Float[Tensor, "samples atoms 3"],
        reduced_energies: Float[Tensor, " samples"],
        log_weights: Float[Tensor, " samples"],
        temperature: float,
        statistics: WeightStatistics,
        metadata: Mapping[str, Any] | None = None,
    ) -> Ensemble:
        """Samples with the weights that they have, E[w] = Z, whatever they were drawn from."""
        return cls(
            molecule,
            _numpy(positions, np.float32),
            _numpy(log_weights, np.float64),
            _numpy(reduced_energies, np.float64),
            float(temperature),
            statistics,
            dict(metadata or {}),
        )

    @classmethod
    def from_frames(
        cls,
        molecule: Molecule,
        positions: Float[Tensor, "samples atoms 3"],
        reduced_energies: Float[Tensor, " samples"],
        temperature: float,
        effective_sample_size: float,
        metadata: Mapping[str, Any] | None = None,
    ) -> Ensemble:
        """Equally weighted frames of dynamics, worth ``effective_sample_size`` independent ones."""
        n = len(positions)
        statistics = WeightStatistics(n, effective_sample_size, effective_sample_size, math.nan, None)
        log_weights = torch.zeros(n, dtype=torch.float64)
        return cls.from_weighted(
            molecule, positions, reduced_energies, log_weights, temperature, statistics, metadata
        )

    @classmethod
    def from_generated(
        cls,
        molecule: Molecule,
        positions: Float[Tensor, "samples atoms 3"],
        reduced_energies: Float[Tensor, " samples"],
        temperature: float,
        metadata: Mapping[str, Any] | None = None,
    ) -> Ensemble:
        """Samples of a model without a density: not Boltzmann weighted, so that no effective size is known.

        All weigh the same but those of infinite energy, which weigh nothing.
        """
        log_weights = torch.zeros_like(reduced_energies, dtype=torch.float64)
        log_weights[~torch.isfinite(reduced_energies)] = -math.inf
        _require_finite_weights(molecule, log_weights)
        statistics = WeightStatistics(len(positions), math.nan, math.nan, math.nan, None)
        return cls.from_weighted(
            molecule, positions, reduced_energies, log_weights, temperature, statistics, metadata
        )

    def resample(self, n: int | None = None, generator: torch.Generator | None = None) -> Ensemble:
        """``n`` (default: as many) equally weighted conformations; the statistics stay those of the weights.

        Without a generator the same draw is made every time.
        """
        indices = self.draw(len(self) if n is None else n, generator)
        return replace(
            self,
            positions=self.positions[indices],
            log_weights=np.zeros(len(indices)),
            reduced_energies=self.reduced_energies[indices],
            log_prob=None if self.log_prob is None else self.log_prob[indices],
        )

    def reweight(
        self,
        energies: Float[np.ndarray, " some"],
        samples: Sequence[int] | np.ndarray | None = None,
    ) -> Ensemble:
        """The ensemble of another energy, from that energy at the samples.

        Parameters
        ----------
        energies
            kJ/mol, in the order of the samples. One that is not finite takes its sample's weight away.
        samples
            Indices of the samples that the energies are of, by default all. They must have been chosen
            whatever their weights are: the first thousand, or every tenth.

        Returns
        -------
        Ensemble
            With new weights, effective size, Pareto-k and, where the samples have one, free energy. Facts of
            the run that made the samples are left behind.

        Raises
        ------
        InputError
            For energies or indices that do not belong to the samples, and for samples that are not weighted.
        NotConvergedError
            Where no energy is finite.
        """
        rows = np.arange(len(self)) if samples is None else np.asarray(samples, dtype=np.int64)
        if np.shape(energies) != rows.shape:
            raise InputError(f"{np.size(energies)} energies for {len(rows)} samples; give one each.")
        if len(np.unique(rows)) != len(rows) or not np.isin(rows, np.arange(len(self))).all():
            raise InputError(f"Give each sample once, by its index from 0 to {len(self) - 1}.")
        if math.isnan(self.effective_sample_size):
            raise InputError("Samples of a model without a density are not weighted, and stay so.")
        u = np.asarray(energies, dtype=np.float64) / self.kT
        with np.errstate(invalid="ignore"):
            log_weights = self.log_weights[rows] + self.reduced_energies[rows] - u
        log_weights[~np.isfinite(log_weights)] = -np.inf
        _require_finite_weights(self.molecule, torch.from_numpy(log_weights))
        statistics = self.statistics.reweighted(
            *map(torch.from_numpy, (self.log_weights[rows], log_weights, self.log_weights))
        )
        marks = {key: value for key, value in self.metadata.items() if key == EQUIVALENCE_MARKS}
        return replace(
            self,
            positions=self.positions[rows],
            log_weights=log_weights,
            reduced_energies=np.where(np.isfinite(u), u, np.inf),
            statistics=statistics,
            metadata=marks,
            log_prob=None if self.log_prob is None else self.log_prob[rows],
        )

    def relabelled(self, seed: int = 0) -> Ensemble:
        """Every conformation with a random one of all labellings that the molecular graph cannot tell apart.

        Samples have the labels of prochiral atoms (the hydrogens of a CH₂) in one order, which configurations
        keep; with all orders the full permutation symmetry of the Boltzmann distribution is back. Energies
        and weights are the same; log q and ln Z stay those of the one order. Labels that the run's energy
        distinguishes (``metadata["equivalence_marks"]``) are not exchanged.
        """
        marks = self.metadata.get(EQUIVALENCE_MARKS)
        return replace(self, positions=conversion.relabelled(self.molecule, self.positions, seed, marks))

    def to_mdtraj(self, weighted: bool = False) -> mdtraj.Trajectory:
        """As a trajectory of equally weighted frames, superposed on the first.

        With ``weighted`` the samples as they are, in order, to be averaged with ``weights``.
        """
        positions = (self if weighted else self.resample()).positions
        return conversion.to_mdtraj(self.molecule, positions)

    def summary(self) -> dict[str, Any]:
        """What the ensemble says of itself, with units in the names, and the metadata of the run."""
        statistics, log_z = self.statistics, self.statistics.log_z
        figures = EnsembleSummary(
            molecule=self.molecule.smiles,
            n_atoms=self.molecule.n_atoms,
            temperature_K=self.temperature,
            n_samples=statistics.n_samples,
            effective_sample_size=statistics.effective_sample_size,
            effective_sample_size_fraction=self.effective_sample_size_fraction,
            clipped_effective_sample_size=statistics.clipped_effective_sample_size,
            pareto_k=statistics.pareto_k,
            mean_energy_kJ_mol=self.mean_energy.value,
            mean_energy_stderr_kJ_mol=self.mean_energy.stderr,
            log_Z=None if log_z is None else log_z.value,
            free_energy_kT=None if log_z is None else self.free_energy_kT,
            free_energy_stderr_kT=None if log_z is None else self.free_energy_stderr_kT,
            free_energy_kJ_mol=None if log_z is None else self.free_energy,
            free_energy_stderr_kJ_mol=None if log_z is None else self.free_energy_stderr,
        )
        return figures.model_dump() | dict(self.metadata)

    def save(self, folder: str | Path) -> None:
        """Write the files of a run to ``folder``, which must hold none; see ``ensemble_folder.py``."""
        write_ensemble(Path(folder), self.files())

    def files(self) -> EnsembleFiles:
        """What the files of a run hold.

        Raises EvaluationError where ``require_stereo`` does; RDKit has its say here unless it had it before.
        """
        self.require_stereo(0.0 if PERCEIVED in self.metadata else PERCEPTION_SECONDS)
        arrays: dict[str, np.ndarray | float] = {
            "positions": self.positions,
            "log_weights": self.log_weights,
            "reduced_energies": self.reduced_energies,
            "temperature_K": self.temperature,
        }
        if self.log_prob is not None:
            arrays["log_prob"] = self.log_prob
        trajectory = self.resample(min(len(self), MOST_TRAJECTORY_FRAMES)).to_mdtraj(weighted=True)
        mol, summary = as_mol(self.molecule, self.distinct_conformers()), self.summary()
        return EnsembleFiles(self.molecule, arrays, self.statistics, self.density, mol, trajectory, summary)

    @staticmethod
    def load(folder: str | Path) -> Ensemble:
        """The ensemble that ``save`` wrote to ``folder``.

        Raises InputError where files are missing, damaged or of different runs.
        """
        stored = read_ensemble(Path(folder))
        arrays: dict[str, Any] = dict(stored.arrays)
        temperature = float(arrays.pop("temperature_K"))
        ensemble = Ensemble(
            stored.molecule,
            **arrays,
            temperature=temperature,
            statistics=stored.statistics,
            density=cast("DensityKind", stored.density),
        )
        computed = ensemble.summary()
        metadata = {key: value for key, value in stored.summary.items() if key not in computed}
        return replace(ensemble, metadata=metadata)


def _require_finite_weights(molecule: Molecule, log_weights: Float[Tensor, " samples"]) -> None:
    if not bool((log_weights > -math.inf).any()):
        raise NotConvergedError(
            f"None of {len(log_weights)} samples of '{molecule.smiles}' has a finite energy:"
            " the model has learnt nothing; give a larger budget."
        )


def _numpy(tensor: Tensor, dtype: type) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy().astype(dtype))
