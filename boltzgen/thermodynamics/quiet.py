"""pymbar without its banner and its warnings: what they would say is checked here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from boltzgen.errors import NotConvergedError

# pymbar's own choice for bootstraps: Newton's method and self-consistent iteration, whichever is ahead. Its
# default starts with a solver that often fails and says so on the screen.
SOLVER = ({"method": "adaptive", "options": {"min_sc_iter": 0, "maxiter": 500}},)
OFFSET = 100.0  # added to differences, since pymbar's tolerance is relative to them: they may be zero
TOLERANCE = 1e-6  # of the normalisation of each state


def pymbar() -> ModuleType:
    """The package, which says on import that it could be faster."""
    with _quiet():
        import pymbar

    return pymbar


def bar(forward: Float[np.ndarray, " n"], backward: Float[np.ndarray, " m"]) -> float:
    """f₁ − f₀ by Bennett's acceptance ratio from reduced work of 0 → 1 and of 1 → 0.

    Raises NotConvergedError where the two do not overlap.
    """
    package = pymbar()
    with _quiet():
        try:
            found = package.other_estimators.bar(
                forward + OFFSET,
                backward - OFFSET,
                DeltaF=OFFSET,
                compute_uncertainty=False,
                method="self-consistent-iteration",
                maximum_iterations=2000,
                relative_tolerance=1e-7 / OFFSET,
            )["Delta_f"]
        except (package.utils.ParameterError, package.utils.ConvergenceError, FloatingPointError) as error:
            raise NotConvergedError(NO_OVERLAP) from error
    if not np.isfinite(found):
        raise NotConvergedError(NO_OVERLAP)
    return float(found) - OFFSET


def mbar(
    reduced_energies: Float[np.ndarray, "states samples"],
    counts: Int[np.ndarray, " states"],
    start: Float[np.ndarray, " states"] | None = None,
) -> Float[np.ndarray, " states"]:
    """Reduced free energies of all states, that of the first zero, by MBAR (Shirts and Chodera 2008).

    Samples stand state by state, ``counts`` of each. Raises NotConvergedError where no solution is found.
    """
    package = pymbar()
    with _quiet():
        f = package.MBAR(
            reduced_energies, counts, initial_f_k=start, solver_protocol=SOLVER, relative_tolerance=1e-10
        ).f_k
    log_weights = log_mbar_weights(reduced_energies, counts, f)
    sums = np.exp(log_weights).sum(axis=1)
    if not np.all(np.abs(sums[counts > 0] - 1.0) < TOLERANCE):
        raise NotConvergedError(NO_OVERLAP)
    return f - f[0]


def log_mbar_weights(
    reduced_energies: Float[np.ndarray, "states samples"],
    counts: Int[np.ndarray, " states"],
    f: Float[np.ndarray, " states"],
) -> Float[np.ndarray, "states samples"]:
    """ln of each sample's weight in each state; they sum to one in every state that has samples."""
    used = counts > 0
    exponents = np.log(counts[used])[:, None] + f[used, None] - reduced_energies[used]
    largest = exponents.max(axis=0)
    log_mixture = largest + np.log(np.exp(exponents - largest).sum(axis=0))
    return f[:, None] - reduced_energies - log_mixture


NO_OVERLAP = (
    "The ensembles have too little in common for a free-energy difference between them: give states that are"
    " closer to each other, or more time."
)


@contextmanager
def _quiet() -> Iterator[None]:
    """No log messages below errors, and no warnings."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
