"""A comparison of models as tables: for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from rich.markup import escape
from rich.table import Table

from boltzgen.records.comparison import ComparisonSummary, Distance, Distances, ModelRow

if TYPE_CHECKING:
    from rich.console import Console


DISTANCES = {
    "KS torsion": "ks_worst_torsion",
    "KS energy": "ks_energy",
    "JS torsion": "js_worst_torsion",
    "W₂ torsions / rad": "w2_torsions_rad",
    "W₂ distances / nm": "w2_distances_nm",
    "W₁ energy / kT": "w1_energy_kT",
    "MMD²": "mmd_squared",
    "classifier": "classifier_balanced_accuracy",
}
GAP = 2  # characters between columns
VERDICTS = {True: "true", False: "FALSE", None: "undecided"}


class Rows(NamedTuple):
    """A table: its title, the names of its columns, and text cell by cell."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def comparison_tables(summary: ComparisonSummary, errors: bool = True) -> list[Rows]:
    """Distances of the samples as generated and as reweighted, then what each model cost and weighs.

    ``errors``: whether standard errors stand beside the distances.
    """
    tables = [
        _distances(summary, "generated", "Distance to the reference, samples as generated", errors),
        _distances(summary, "reweighted", "Distance to the reference, samples reweighted", errors),
        _costs(summary.models),
    ]
    return [table for table in tables if table.rows]


def print_comparison(console: Console, summary: ComparisonSummary, folder: Path | None) -> None:
    """The tables, what failed, what became of the claims, and warnings."""
    for whole in comparison_tables(summary, errors=False):
        for rows in pieces(whole, console.width):
            table = Table(title=escape(rows.title), title_justify="left", box=None, padding=(0, GAP, 0, 0))
            for index, column in enumerate(rows.columns):
                table.add_column(escape(column), justify="right" if index else "left", no_wrap=True)
            for row in rows.rows:
                table.add_row(*map(escape, row))
            console.print(table)
            console.print()
    for model in summary.models:
        if model.failure:
            _line(console, f"{model.model} failed: {model.failure}")
        if model.model_figures:
            _line(console, said_of_itself(model))
    for claim in summary.claims:
        _line(console, f"{VERDICTS[claim.holds]:>9}  {claim.statement}: {claim.evidence}")
    for warning in summary.warnings:
        _line(console, f"WARNING  {warning}")
    if folder is not None:
        _line(console, f"Files in {folder}")


def pieces(whole: Rows, width: int) -> list[Rows]:
    """``whole`` in as many tables as its columns need that each fits ``width``; the first column in all."""
    lines = [whole.columns, *whole.rows]
    widths = [max(len(line[k]) for line in lines) + GAP for k in range(len(whole.columns))]
    parts: list[list[int]] = []
    room = 0
    for k in range(1, len(whole.columns)):
        if widths[k] > room:
            parts.append([0])
            room = width - widths[0]
        parts[-1].append(k)
        room -= widths[k]
    chosen = [[[line[k] for k in part] for line in lines] for part in parts]
    return [
        Rows(whole.title if index == 0 else "", columns, rows)
        for index, (columns, *rows) in enumerate(chosen)
    ]


def said_of_itself(model: ModelRow) -> str:
    """A model's own figures in a sentence."""
    figures = (f"{name} {_number(value)}" for name, value in model.model_figures.items())
    return f"{model.model} says of itself: {', '.join(figures)}"


def untrained_table(summary: ComparisonSummary) -> Rows:
    """The same distances before any training."""
    return _distances(summary, "untrained", "Distance to the reference before training", errors=True)


def torsion_table(summary: ComparisonSummary) -> Rows:
    """Kolmogorov–Smirnov statistic of every torsion for every model."""
    models = [(model.model, model.generated) for model in summary.models if model.generated is not None]
    names = list(models[0][1].torsions) if models else []
    rows = [[label, *(_figure(found.torsions[name]["ks"]) for name in names)] for label, found in models]
    return Rows("Kolmogorov–Smirnov statistic of each torsion", ["model", *names], rows if names else [])


def _distances(
    summary: ComparisonSummary,
    of: Literal["untrained", "generated", "reweighted"],
    title: str,
    errors: bool,
) -> Rows:
    models: list[tuple[str, Distances]] = [
        (model.model, getattr(model, of)) for model in summary.models if getattr(model, of) is not None
    ]
    there = {
        column: key
        for column, key in DISTANCES.items()
        if any(getattr(found, key) is not None for _, found in models)
    }
    rows = [
        [
            label,
            *(_figure(getattr(found, key), errors) for key in there.values()),
            f"{found.conformers_reached} of {found.conformers}",
            _number(100 * found.share_above_reference_q999.value),
        ]
        for label, found in models
    ]
    if models:
        first = [getattr(models[0][1], key) for key in there.values()]
        nulls = ["" if figure is None else _number(figure.null) for figure in first]
        rows.insert(0, ["(null: half and half)", *nulls, "", "0.1"])
    return Rows(title, ["model", *there, "conformers", "% above q99.9"], rows)


def _costs(models: Sequence[ModelRow]) -> Rows:
    columns = [
        "model", "trained on", "frames", "evaluations", "parameters", "steps", "s", "near training frames",
        "ESS %", "Pareto-k", "log Z",
    ]  # fmt: skip
    rows = []
    for model in models:
        cost, weights, generated = model.cost, model.weights, model.generated
        if cost is None:
            rows.append([model.model, model.trained_on, *[""] * 8, "failed"])
            continue
        copied = None if generated is None else generated.share_nearer_to_training_frames
        rows.append(
            [
                model.model,
                model.trained_on,
                f"{cost.n_frames:,}",
                f"{cost.n_energy_evaluations:.3g}",
                f"{cost.n_parameters:,}",
                f"{cost.n_steps:,}",
                f"{cost.seconds:.0f}",
                "" if copied is None else _number(copied.value),
                "" if weights is None else _number(100 * weights.effective_sample_size_fraction),
                "" if weights is None else _number(weights.pareto_k),
                "none" if weights is None else f"{weights.log_Z:.3f} ± {weights.log_Z_stderr:.3f}",
            ]
        )
    return Rows("Cost and weights", columns, rows)


def _figure(figure: Distance | None, errors: bool = True) -> str:
    if figure is None:
        return ""
    if not math.isfinite(figure.value):
        return "∞"
    error = f" ± {_number(figure.stderr)}" if errors and math.isfinite(figure.stderr) else ""
    return _number(figure.value) + error


def _number(value: float) -> str:
    """Three figures."""
    if not math.isfinite(value):
        return "∞"
    return f"{value:.3g}" if abs(value) >= 0.0095 or value == 0 else f"{value:.1e}"


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
