"""Free energies on the terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from boltzgen.records.free_energy import (
    FreeEnergyDifference,
    FreeEnergyEstimate,
    FreeEnergySummary,
    IdealGasEntropy,
    RegionPopulation,
    StateFreeEnergy,
    TemperatureCurve,
)
from boltzgen.units import KJ_PER_KCAL


def print_free_energy(console: Console, summary: FreeEnergySummary) -> None:
    """What ``boltzgen free-energy`` found: the difference first, where there is one."""
    if summary.difference is not None:
        _print_difference(console, summary.difference)
    for state in summary.states:
        _print_state(console, state, bool(summary.difference))
    _say(console, summary.convention, "dim")
    for warning in summary.warnings:
        _say(console, f"WARNING  {warning}", "yellow")
    if not summary.converged:
        _say(console, "This free energy did not converge.", "bold red")
    seconds, evaluations = summary.wall_seconds["total"], summary.n_energy_evaluations
    _say(console, f"{evaluations:,} energy evaluations in {seconds:.0f} s")


def energy_text(value: float, error: float) -> str:
    """kJ/mol in both units, with the error."""
    return (
        f"{value:.3f} ± {error:.3f} kJ/mol = {value / KJ_PER_KCAL:.3f} ± {error / KJ_PER_KCAL:.3f} kcal/mol"
    )


def _print_difference(console: Console, apart: FreeEnergyDifference) -> None:
    table = _rows(f"{apart.second} minus {apart.first}")
    table.add_row("ΔF", energy_text(apart.free_energy_kJ_mol, apart.free_energy_stderr_kJ_mol))
    table.add_row("ΔU", energy_text(apart.energy_kJ_mol, apart.energy_stderr_kJ_mol))
    heat = apart.temperature_entropy_kJ_mol, apart.temperature_entropy_stderr_kJ_mol
    table.add_row("Δ(TS)", energy_text(*heat))
    if not math.isnan(apart.overlap):
        table.add_row("overlap of the ensembles", f"{apart.overlap:.3f}")
    console.print(table)
    console.print(_estimates("ΔF by each estimator", apart.estimates, apart.estimator))


def _print_state(console: Console, state: StateFreeEnergy, one_of_two: bool) -> None:
    table = _rows(f"{state.molecule}, {state.forcefield}, {state.solvent}, {state.temperature_K:g} K")
    table.add_row("F", energy_text(state.free_energy_kJ_mol, state.free_energy_stderr_kJ_mol))
    table.add_row("bounds of F", f"{_bound(state.lower_bound_kJ_mol)} to {_bound(state.upper_bound_kJ_mol)}")
    table.add_row("U", energy_text(state.mean_energy_kJ_mol, state.mean_energy_stderr_kJ_mol))
    table.add_row(
        "S of the configurations",
        f"{state.entropy_J_mol_K:.2f} ± {state.entropy_stderr_J_mol_K:.2f} J/mol/K",
    )
    table.add_row(
        "effective samples",
        f"{state.effective_sample_size:.0f} of {state.n_samples}, Pareto-k {state.pareto_k:.2f}",
    )
    if state.n_frames:
        table.add_row("frames", f"{state.n_frames} of {state.n_ladders} ladders, not seen in training")
        table.add_row("overlap of model and frames", f"{state.model_overlap:.3f}")
    console.print(table)
    if not one_of_two:
        console.print(_estimates("F by each estimator", state.estimates, state.estimator))
    if state.ideal_gas is not None:
        console.print(_ideal_gas(state.ideal_gas))
    if state.regions:
        console.print(_regions(state.regions))
    if state.curve is not None:
        console.print(_curve(state.curve))


def _bound(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3f} kJ/mol" if math.isfinite(value) else "∞"


def _rows(title: str) -> Table:
    table = Table(title=escape(title), title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column("what", no_wrap=True)
    table.add_column("value")
    return table


def _estimates(title: str, estimates: list[FreeEnergyEstimate], chosen: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
    table.add_column("estimator")
    for name in ("kJ/mol", "± ", "kcal/mol", "±", "bias, kJ/mol"):
        table.add_column(name, justify="right")
    for one in estimates:
        table.add_row(
            one.estimator + (" (reported)" if one.estimator == chosen else ""),
            f"{one.free_energy_kJ_mol:.3f}",
            f"{one.stderr_kJ_mol:.3f}",
            f"{one.free_energy_kJ_mol / KJ_PER_KCAL:.3f}",
            f"{one.stderr_kJ_mol / KJ_PER_KCAL:.3f}",
            "" if math.isnan(one.bias_kJ_mol) else f"{one.bias_kJ_mol:.3f}",
        )
    return table


def _regions(regions: list[RegionPopulation]) -> Table:
    table = Table(title="Populations", title_justify="left", box=None, padding=(0, 2))
    table.add_column("state")
    for name in ("population, %", "F, kcal/mol", "by weights, %", "by replica exchange, %"):
        table.add_column(name, justify="right")
    for one in regions:
        free, error = one.free_energy_kJ_mol / KJ_PER_KCAL, one.free_energy_stderr_kJ_mol / KJ_PER_KCAL
        table.add_row(
            escape(one.name),
            f"{100 * one.population:.2f} ± {100 * one.population_stderr:.2f}",
            f"{free:.3f} ± {error:.3f}",
            f"{100 * one.by_importance_weights:.2f}",
            "" if math.isnan(one.by_replica_exchange) else f"{100 * one.by_replica_exchange:.2f}",
        )
    return table


def _curve(curve: TemperatureCurve) -> Table:
    table = Table(title="Over temperature", title_justify="left", box=None, padding=(0, 2))
    for name in ("T, K", "F, kJ/mol", "U, kJ/mol", "S, J/mol/K", "C, J/mol/K"):
        table.add_column(name, justify="right")
    columns = [
        zip(values, errors, strict=True)
        for values, errors in (
            (curve.free_energy_kJ_mol, curve.free_energy_stderr_kJ_mol),
            (curve.mean_energy_kJ_mol, curve.mean_energy_stderr_kJ_mol),
            (curve.entropy_J_mol_K, curve.entropy_stderr_J_mol_K),
            (curve.heat_capacity_J_mol_K, curve.heat_capacity_stderr_J_mol_K),
        )
    ]
    for temperature, *row in zip(curve.temperatures_K, *columns, strict=True):
        table.add_row(f"{temperature:g}", *(f"{value:.2f} ± {error:.2f}" for value, error in row))
    return table


def _ideal_gas(gas: IdealGasEntropy) -> Table:
    table = _rows(f"Ideal gas at 1 bar, {gas.temperature_K:g} K")
    for name, value in (
        ("translation", gas.translation_J_mol_K),
        ("rotation", gas.rotation_J_mol_K),
        (f"configurations (symmetry number {gas.symmetry_number})", gas.configuration_J_mol_K),
        (f"quantum correction at {gas.n_conformers} conformers", gas.quantum_correction_J_mol_K),
    ):
        table.add_row(name, f"{value:.2f} J/mol/K")
    table.add_row("S°", f"{gas.entropy_J_mol_K:.2f} ± {gas.entropy_stderr_J_mol_K:.2f} J/mol/K")
    return table


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
