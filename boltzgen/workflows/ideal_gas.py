"""S°(T) of a molecule as an ideal gas: its free energy, and normal modes at the main conformers."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize

from boltzgen.conformers import found_conformers
from boltzgen.energies.target import BoltzmannTarget
from boltzgen.errors import InputError
from boltzgen.records.free_energy import IdealGasEntropy
from boltzgen.sampling.importance import systematic_resample
from boltzgen.thermodynamics.ideal_gas import (
    R,
    classical_entropy,
    normal_frequencies,
    quantum_correction,
    rotational_entropy,
    translational_entropy,
)
from boltzgen.thermodynamics.symmetry_number import symmetry_number
from boltzgen.workflows.state_data import StateData
from boltzgen.workflows.state_free_energy import StateResult
from boltzgen.workflows.trained_state import TrainedState

MOST_CONFORMERS = 10
LEAST_POPULATION = 0.01
ROTORS = 1000  # configurations over which the rotational part is averaged


def require_vacuum(solvent: str | None) -> None:
    """Raises InputError where ``solvent`` is one."""
    if solvent not in (None, "vacuum", "as in the file"):
        raise InputError(f"An ideal gas has no solvent '{solvent}': leave it out.")


def require_gas(state: TrainedState) -> None:
    """Raises InputError where the state is no gas, or its energy has no second derivatives."""
    require_vacuum(state.system.solvent)
    if state.is_costly:
        raise InputError(
            f"Force field '{state.system.forcefield}' has no second derivatives for a quantum correction: use"
            " one of formulas, like mmff94."
        )


def ideal_gas(result: StateResult) -> IdealGasEntropy:
    """The entropy of the gas of the state of ``result``."""
    data = result.data
    state = data.state
    masses = np.asarray(state.system.molecule.masses, dtype=np.float64)
    temperature, kT = state.target.temperature, result.kT
    sigma = symmetry_number(state.system.molecule)
    f, energy = result.found[result.best], result.energy
    classical = classical_entropy(masses, f.value, energy.value / kT, temperature, sigma)
    translation = translational_entropy(float(masses.sum()), temperature)
    rotation = _rotation(data, masses, temperature)
    correction, n_conformers = _correction(data, masses, temperature)
    return IdealGasEntropy(
        temperature_K=temperature,
        symmetry_number=sigma,
        translation_J_mol_K=translation,
        rotation_J_mol_K=rotation,
        configuration_J_mol_K=classical - translation - rotation,
        quantum_correction_J_mol_K=correction,
        entropy_J_mol_K=classical + correction,
        entropy_stderr_J_mol_K=R * float(np.std(energy.replicates / kT - f.replicates, ddof=1)),
        n_conformers=n_conformers,
    )


def minimised(target: BoltzmannTarget, start: Float[np.ndarray, "atoms 3"]) -> Float[np.ndarray, "atoms 3"]:
    """The minimum (nm) of the energy that is reached from ``start``."""

    def energy(x: np.ndarray) -> tuple[float, np.ndarray]:
        u, gradient = target.reduced_energy_and_gradient(torch.from_numpy(x.reshape(1, -1, 3)))
        return float(u[0]), gradient[0].numpy().ravel()

    found = minimize(
        energy,
        np.asarray(start, dtype=np.float64).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-4},
    )
    return found.x.reshape(-1, 3)


def _rotation(data: StateData, masses: np.ndarray, temperature: float) -> float:
    """Mean over Boltzmann-weighted samples."""
    log_weights = torch.from_numpy(data.samples.log_weights)
    chosen = systematic_resample(log_weights, ROTORS, torch.Generator().manual_seed(0))
    x = data.samples.positions[chosen].double().cpu().numpy()
    return float(np.mean([rotational_entropy(masses, one, temperature) for one in x]))


def _correction(data: StateData, masses: np.ndarray, temperature: float) -> tuple[float, int]:
    """The quantum correction averaged over the main conformers by population, and how many they are."""
    state, samples = data.state, data.samples
    weights = np.exp(samples.log_weights - samples.log_weights.max())
    table = found_conformers(
        state.system.molecule, samples.positions.numpy(), samples.reduced_energies, weights / weights.sum()
    )
    main = [one for one in table.conformers if one.population.value >= LEAST_POPULATION][:MOST_CONFORMERS]
    main = main or list(table.conformers[:1])
    corrections = []
    for conformer in main:
        x = minimised(state.target, samples.positions[conformer.representative].numpy())
        hessian = state.target.hessian(torch.from_numpy(x)[None])[0].numpy() * state.target.kT
        frequencies = normal_frequencies(hessian, masses, is_linear(x))
        corrections.append(quantum_correction(frequencies, temperature))
    populations = np.array([one.population.value for one in main])
    return float(populations @ corrections / populations.sum()), len(main)


def is_linear(x: Float[np.ndarray, "atoms 3"]) -> bool:
    """Whether all atoms are on one line."""
    spread = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    return bool(len(x) < 3 or spread[1] < 1e-3 * spread[0])
