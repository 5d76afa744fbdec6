"""Free energy, mean energy and heat capacity over temperature, from replica exchange along a ladder.

The energies on all rungs are enough: MBAR over the temperatures gives ln Z(T)/Z(T₀) at every temperature that
they cover, ⟨U⟩ and the heat capacity of the configurations, C = (⟨U²⟩ − ⟨U⟩²)/kT². What momenta and rigid
motion add is in ``conventions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from boltzgen.errors import InputError
from boltzgen.thermodynamics.blocks import drawn_blocks, small_sample_factor
from boltzgen.thermodynamics.multistate import REPLICATES
from boltzgen.thermodynamics.quiet import log_mbar_weights, mbar
from boltzgen.units import thermal_energy

MOST_FRAMES = 4000  # of each rung, for MBAR
LEAST_EFFECTIVE_SHARE = 0.05  # of all frames: below it a temperature is out of the ladder's reach


@dataclass(frozen=True)
class Curve:
    """Values at each of some temperatures, with standard errors and replicates that belong together.

    relative: ln Z(T₀) − ln Z(T), with T₀ the anchor. energy: ⟨U⟩ in kJ/mol. heat_capacity: of the
    configurations, kJ/mol/K. effective_share: Kish's size at each temperature over the number of frames.
    """

    temperatures: Float[np.ndarray, " temperatures"]
    anchor: float
    relative: Float[np.ndarray, "replicates temperatures"]
    energy: Float[np.ndarray, "replicates temperatures"]
    heat_capacity: Float[np.ndarray, "replicates temperatures"]
    effective_share: Float[np.ndarray, " temperatures"]
    factor: float

    def value(self, name: str) -> Float[np.ndarray, " temperatures"]:
        """The estimate itself, of ``name`` relative, energy or heat_capacity: the first replicate."""
        return getattr(self, name)[0]

    def stderr(self, name: str) -> Float[np.ndarray, " temperatures"]:
        """Its standard error, by drawing ladders."""
        return getattr(self, name)[1:].std(axis=0, ddof=1) * self.factor


def temperature_curve(
    energies: Float[np.ndarray, "frames ladders rungs"],
    rungs: Float[np.ndarray, " rungs"],
    temperatures: Float[np.ndarray, " temperatures"],
    anchor: float,
    seed: tuple[int, ...] = (0,),
) -> Curve:
    """The curve at ``temperatures`` (K) of ``energies`` (kJ/mol) on the ``rungs`` (K) of a ladder.

    Raises InputError where a temperature is out of the ladder's reach.
    """
    energies = np.asarray(energies, dtype=np.float64)
    every = -(-energies.shape[0] * energies.shape[1] // MOST_FRAMES)
    by_ladder = energies[::every].transpose(2, 1, 0)  # rungs, ladders, frames
    n_ladders = by_ladder.shape[1]
    if n_ladders < 2:
        raise InputError("One ladder gives no standard error; make at least two.")
    wanted = np.append(temperatures, anchor)
    beta, wanted_beta = 1.0 / thermal_energy(1.0) / rungs, 1.0 / thermal_energy(1.0) / wanted
    shift = float(by_ladder.mean())  # large energies of either sign would round the sums

    def at(rows: np.ndarray, start: np.ndarray | None) -> tuple[np.ndarray, ...]:
        e = by_ladder[:, rows].ravel() - shift
        counts = np.full(len(rungs), e.size // len(rungs))
        f = mbar(beta[:, None] * e, counts, start)
        energies_in_all = np.concatenate([beta, wanted_beta])[:, None] * e
        padded = np.concatenate([f, np.zeros(len(wanted))])
        counts = np.concatenate([counts, np.zeros(len(wanted), dtype=int)])
        log_weights = log_mbar_weights(energies_in_all, counts, padded)[len(rungs) :]
        weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
        sums = weights.sum(axis=1)
        log_z = np.log(sums) + log_weights.max(axis=1) - wanted_beta * shift
        weights /= sums[:, None]
        mean = weights @ e
        variance = weights @ e**2 - mean**2
        capacity = variance * wanted_beta / wanted
        share = 1.0 / (weights**2).sum(axis=1) / counts.sum()
        return f, log_z[-1] - log_z[:-1], mean[:-1] + shift, capacity[:-1], share[:-1]

    f, *found = at(np.arange(n_ladders), None)
    shares = found.pop()
    if (shares < LEAST_EFFECTIVE_SHARE / len(rungs)).any():
        far = temperatures[int(np.argmin(shares))]
        raise InputError(
            f"{far:g} K is out of reach of a ladder from {rungs.min():g} to {rungs.max():g} K: give"
            " temperatures within it."
        )
    rows = [found]
    for drawn in drawn_blocks(n_ladders, seed, REPLICATES):
        rows.append(list(at(drawn, f)[1:4]))
    relative, energy, capacity = (np.array(column) for column in zip(*rows, strict=True))
    return Curve(
        np.asarray(temperatures, dtype=np.float64),
        anchor,
        relative,
        energy,
        capacity,
        shares,
        small_sample_factor(n_ladders),
    )
