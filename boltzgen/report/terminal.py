"""What a person sees on the terminal: a progress line while it works, a short table at the end."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from boltzgen.records.run import (
    ConformerSummary,
    LevelStep,
    ReferenceSummary,
    RefinementSummary,
    ReplicaExchangeSummary,
    RunSummary,
)
from boltzgen.units import KJ_PER_KCAL

if TYPE_CHECKING:
    from boltzgen.evaluation.conformer_energies import ConformerEnergies
    from boltzgen.progress import StageProgress
    from boltzgen.records.plan import Plan
    from boltzgen.systems import SystemDescription

HEARTBEAT = 60.0  # seconds between two lines of a log at most


ANSWERS = {
    "replica exchange": "frames of the run's own replica exchange",
    "combined": "samples of the model and frames of the run's own replica exchange, together",
}


class ProgressLine:
    """One line on a terminal; elsewhere a line for each stage, and one a minute. Warnings alone if quiet."""

    def __init__(self, console: Console, started: float, quiet: bool = False) -> None:
        self.console, self.started, self.quiet = console, started, quiet
        self.stage = ""
        self.printed = started
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("starting", total=None, left="", note="")

    def __enter__(self) -> ProgressLine:
        if self.console.is_terminal and not self.quiet:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar.live.is_started:
            self.bar.stop()

    def show(self, progress: StageProgress) -> None:
        """Show ``progress``: on a terminal at once, else beginnings of stages, a line a minute, warnings."""
        if progress.warning:
            _print_warnings(self.console, [progress.warning])
            return
        if self.quiet:
            return
        if self.console.is_terminal:
            left = "" if progress.seconds_left is None else f"{max(progress.seconds_left, 0):4.0f} s left"
            self.bar.update(
                self.task,
                description=progress.stage,
                total=None if progress.fraction is None else 1.0,
                completed=progress.fraction or 0.0,
                left=left,
                note=progress.note,
            )
        elif progress.stage != self.stage or time.monotonic() - self.printed >= HEARTBEAT:
            self.printed = time.monotonic()
            note = f": {progress.note}" if progress.note else ""
            left = "" if progress.seconds_left is None else f", {max(progress.seconds_left, 0):.0f} s left"
            text = f"[{self.printed - self.started:6.1f} s] {progress.stage}{note}{left}"
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)
        self.stage = progress.stage


def print_summary(console: Console, summary: RunSummary | ReferenceSummary, folder: Path | None) -> None:
    """The numbers of ``summary.json`` that a person wants first."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in summary_rows(summary):
        table.add_row(name, escape(value))
    console.print(table)
    if isinstance(summary, RunSummary) and summary.main_conformers:
        console.print(_conformer_table(summary.main_conformers))
    _print_warnings(console, summary.warnings)
    if not summary.converged:
        console.print("This run did not converge.", style="bold red")
    if folder is not None:
        console.print(f"Files in {folder}", markup=False, highlight=False, soft_wrap=True)


def print_energies(console: Console, energies: ConformerEnergies, most: int = 20) -> None:
    """One line a conformer, one column a force, in kcal/mol; at most ``most`` lines."""
    title = f"{energies.molecule.smiles}, {energies.forcefield}, {energies.solvent}: kcal/mol"
    table = Table(title=escape(title))
    table.add_column("conformer", justify="right")
    for name in [*energies.terms, "total"]:
        table.add_column(name, justify="right", overflow="fold")
    columns = [*energies.terms.values(), energies.total]
    for index in range(min(most, len(energies.total))):
        table.add_row(str(index + 1), *(f"{column[index] / KJ_PER_KCAL:.4f}" for column in columns))
    console.print(table)
    if len(energies.total) > most:
        console.print(f"... and {len(energies.total) - most} more; --json prints all of them.")


def print_plan(console: Console, plan: Plan) -> None:
    """What would be sampled, feature by feature."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in (
        ("molecule", plan.molecule),
        ("energy", f"{plan.forcefield}, {plan.solvent}"),
        ("atoms", str(plan.n_atoms)),
        ("degrees of freedom", f"{plan.degrees_of_freedom}, of which {plan.n_soft_torsions} soft torsions"),
        ("equivalent labellings", f"{plan.symmetry_multiplicity}, folded into one"),
        ("parameters of the model", f"{plan.n_parameters:,}"),
        ("time", f"{plan.least_seconds:.0f} to {plan.most_seconds:.0f} s"),
    ):
        table.add_row(name, escape(value))
    console.print(table)
    features = Table(box=None, padding=(0, 2))
    for column in ("coordinate", "atoms", "count"):
        features.add_column(column, no_wrap=column == "coordinate")
    for feature in plan.features:
        features.add_row(feature.kind, feature.where, str(feature.count) if feature.count > 1 else "")
    console.print(features)
    _print_warnings(console, plan.warnings)


def print_systems(console: Console, systems: dict[str, SystemDescription]) -> None:
    """Name, force field, solvent and content of each on one line, however narrow the terminal is."""
    rows = [(name, one.forcefield, one.solvent, one.what) for name, one in systems.items()]
    rows.insert(0, ("name", "force field", "solvent", "what"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def summary_rows(summary: RunSummary | ReferenceSummary) -> list[tuple[str, str]]:
    """Name and value of the numbers that a person wants first."""
    n, ess = summary.n_samples, summary.effective_sample_size
    known = not math.isnan(ess)
    share = f"{ess:.0f} of {n} ({100 * summary.effective_sample_size_fraction:.1f} %)"
    rows = [
        ("molecule", f"{summary.molecule}  ({summary.n_atoms} atoms, {summary.temperature_K:g} K)"),
        ("energy", f"{summary.forcefield}, {summary.solvent}"),
    ]
    if isinstance(summary, RunSummary):
        rows.append(("model", f"{summary.model}, trained on {summary.trained_on}"))
        if summary.answer != "model":
            rows.append(("answer", ANSWERS[summary.answer]))
        if summary.replica_exchange is not None:
            rows.append(("replica exchange", _replica_exchange_text(summary.replica_exchange)))
    rows.append(("effective samples", share) if known else ("samples", f"{n}, not weighted"))
    if isinstance(summary, RunSummary):
        if rates := _rates_text(summary):
            rows.append(("effective samples a second", rates))
        if summary.training_stopped_because:
            rows.append(("training ended", summary.training_stopped_because))
        rows += [(step.step, _level_text(step)) for step in summary.level_steps or ()]
        if summary.refinement is not None:
            rows.append(("refinement", _refinement_text(summary.refinement)))
        rows += [(name, f"{value:.4g}") for name, value in summary.model_figures.items()]
    if summary.free_energy_kJ_mol is not None:  # dynamics and models without a density have none
        stderr = math.nan if summary.free_energy_stderr_kJ_mol is None else summary.free_energy_stderr_kJ_mol
        rows += [
            ("Pareto-k", f"{summary.pareto_k:.2f}"),
            ("free energy", _in_kcal(summary.free_energy_kJ_mol, stderr)),
        ]
    return [
        *rows,
        ("mean energy", _in_kcal(summary.mean_energy_kJ_mol, summary.mean_energy_stderr_kJ_mol)),
        ("energy evaluations", f"{summary.n_energy_evaluations:,}"),
        ("seconds", f"{summary.wall_seconds['total']:.0f}"),
    ]


def population_text(conformer: ConformerSummary) -> str:
    """The population of a conformer with its error, in per cent."""
    return f"{100 * conformer.population:.1f} ± {100 * conformer.population_stderr:.1f} %"


def _replica_exchange_text(found: ReplicaExchangeSummary) -> str:
    return (
        f"{found.effective_sample_size:.0f} independent of {found.n_ladders * found.frames_a_ladder} frames,"
        f" R-hat {found.r_hat:.2f}"
    )


def _in_kcal(value: float, error: float) -> str:
    """kJ/mol, as kcal/mol."""
    return f"{value / KJ_PER_KCAL:.3f} ± {error / KJ_PER_KCAL:.3f} kcal/mol"


def _rates_text(summary: RunSummary) -> str:
    """Of the whole run, training included, and of the replica exchange that it began with; "" if unknown."""
    rates = {
        "training included": summary.effective_samples_per_second,
        "by its replica exchange alone": summary.replica_exchange_effective_samples_per_second,
    }
    return "; ".join(f"{rate:.3g} {meaning}" for meaning, rate in rates.items() if not math.isnan(rate))


def _level_text(step: LevelStep) -> str:
    return (
        f"{100 * step.effective_sample_size_fraction:.1f} % effective, Pareto-k {step.pareto_k:.2f}, after"
        f" {step.evaluations:,} evaluations in {step.seconds:.0f} s"
    )


def _refinement_text(refinement: RefinementSummary) -> str:
    how = f"{refinement.proposals} proposals thinned"
    if refinement.stages:
        how += f" after {refinement.stages} stages of annealing"
    return f"from {100 * refinement.share_before:.1f} %: {how} in {refinement.seconds:.0f} s"


def _print_warnings(console: Console, warnings: list[str]) -> None:
    for warning in warnings:
        text = f"WARNING  {warning}"
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _conformer_table(conformers: list[ConformerSummary]) -> Table:
    table = Table(title="Main conformers", title_justify="left", box=None, padding=(0, 2))
    table.add_column("population", justify="right")
    table.add_column("torsion states")
    for conformer in conformers:
        table.add_row(population_text(conformer), escape(conformer.states))
    return table
