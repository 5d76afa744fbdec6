"""comparison.html: the models side by side on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from boltzgen.records.comparison import ClaimRow, ComparisonSummary
from boltzgen.report import plots
from boltzgen.report.comparison import (
    VERDICTS,
    Rows,
    comparison_tables,
    said_of_itself,
    torsion_table,
    untrained_table,
)
from boltzgen.report.page import STYLE

if TYPE_CHECKING:
    from boltzgen.evaluation.comparison import Yardstick
    from boltzgen.evaluation.description import Described

WIDE = "body { max-width: 100rem; } table { font-size: 0.85rem; } .false { background: #f8d7da; }"
MOST_DRAWN = 8  # torsions a model
NOTE = (
    "The null value of a distance is that of two independent halves of the reference to each other, in sets"
    " of the same size. Values are means over four blocks ± standard error. Torsion figures are those"
    " of the worst torsion."
)


def comparison_page(
    summary: ComparisonSummary, yardstick: Yardstick, samples: Mapping[str, Described]
) -> str:
    """The whole page as HTML text; ``summary``: all of ``comparison.json``."""
    reference = summary.reference
    title = f"boltzgen compare: {escape(summary.molecule)}"
    parts = [
        f"<h1>{title}</h1>",
        f"<p>{escape(summary.forcefield)}, {escape(summary.solvent)}, {summary.temperature_K:g} K;"
        f" {summary.n_samples:,} samples a model; reference: {escape(reference.source)},"
        f" {reference.n_frames:,} frames worth {reference.effective_sample_size:.0f} independent ones,"
        f" divided {escape(reference.divided)}.</p>",
        f"<p>{escape(NOTE)}</p>",
    ]
    parts += [f'<p class="bad">{escape(warning)}</p>' for warning in summary.warnings]
    parts += [
        f'<p class="bad">{escape(model.model)} failed: {escape(model.failure)}</p>'
        for model in summary.models
        if model.failure
    ]
    parts += [_table(rows) for rows in comparison_tables(summary)]
    parts.append("<h2>Findings</h2>")
    parts.append(_claims(summary.claims))
    parts += [_table(rows) for rows in (torsion_table(summary), untrained_table(summary)) if rows.rows]
    parts += [f"<p>{escape(said_of_itself(model))}.</p>" for model in summary.models if model.model_figures]
    for label, described in samples.items():
        parts.append(f"<h2>{escape(label)}</h2>")
        parts.append(_pictures(yardstick, described))
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}{WIDE}</style></head><body>{body}</body></html>\n"
    )


def _table(rows: Rows) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in rows.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows.rows
    )
    return f"<h2>{escape(rows.title)}</h2><table><tr>{head}</tr>{body}</table>"


def _claims(claims: list[ClaimRow]) -> str:
    rows = "".join(
        f"<tr{' class=false' if claim.holds is False else ''}><td>{VERDICTS[claim.holds]}</td>"
        f"<td>{escape(claim.statement)}</td><td>{escape(claim.evidence)}</td></tr>"
        for claim in claims
    )
    return f"<table>{rows}</table>"


def _pictures(yardstick: Yardstick, samples: Described) -> str:
    """Energies, then torsions, each over the reference's."""
    energies = np.concatenate([half.energies for half in yardstick.halves])
    low, high = np.quantile(energies, (0.0, 0.999))
    panels = [
        plots.Panel(
            "energy / kT", samples.energies, energies, np.linspace(low, high + 0.3 * (high - low), 61)
        )
    ]
    for column, torsion in enumerate(yardstick.torsions[:MOST_DRAWN]):
        values, reference = (
            np.degrees(some)
            for some in (
                samples.torsions[:, column],
                np.concatenate([half.torsions[:, column] for half in yardstick.halves]),
            )
        )
        half = np.degrees(torsion.period) / 2
        panels.append(
            plots.Panel(f"{torsion.name} / degrees", values, reference, np.linspace(-half, half, 73))
        )
    return plots.against_reference(panels)
