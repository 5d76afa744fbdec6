"""report.html: the summary and the pictures of a run on one page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from boltzgen.records.run import RunSummary
from boltzgen.report import plots
from boltzgen.report.terminal import population_text, summary_rows
from boltzgen.settings import validated

if TYPE_CHECKING:
    from boltzgen.ensemble import Ensemble

STYLE = """
body { font-family: system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: 0.25rem 1rem 0.25rem 0; text-align: left; }
.warning { background: #fff3cd; padding: 0.6rem 1rem; margin: 0.5rem 0; }
.bad { background: #f8d7da; padding: 0.6rem 1rem; font-weight: bold; }
svg { max-width: 100%; height: auto; }
h2 { margin-top: 2rem; }
"""


def report_page(ensemble: Ensemble) -> str:
    """The whole page as HTML text."""
    summary = validated(RunSummary, **ensemble.summary())
    title = f"boltzgen: {escape(summary.molecule)}"
    parts = [f"<h1>{title}</h1>"]
    if not summary.converged:
        parts.append('<p class="bad">This run did not converge.</p>')
    parts += [f'<p class="warning">{escape(warning)}</p>' for warning in summary.warnings]
    parts.append(_table([(escape(name), escape(value)) for name, value in summary_rows(summary)]))
    if summary.main_conformers:
        parts.append("<h2>Main conformers</h2>")
        conformers = [(population_text(c), escape(c.states)) for c in summary.main_conformers]
        parts.append(_table(conformers))
    pictures = (
        ("Energies", plots.energy_histogram(ensemble)),
        ("Torsions", plots.torsion_histograms(ensemble)),
        ("Importance weights", plots.weight_histogram(ensemble) if ensemble.has_free_energy else None),
        ("Training", plots.training_curves(summary.training_history)),
    )
    parts += [f"<h2>{name}</h2>{picture}" for name, picture in pictures if picture]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{body}</body></html>\n"
    )


def _table(rows: list[tuple[str, str]]) -> str:
    return "<table>" + "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in rows) + "</table>"
