"""What a notebook shows of an ensemble: formula, verdict and main figures."""

from __future__ import annotations

import math
from html import escape

from boltzgen.molecules.depiction import depiction_svg
from boltzgen.plots.samples import DrawableSamples
from boltzgen.units import KJ_PER_KCAL

MOST_ROWS = 5


def ensemble_html(samples: DrawableSamples) -> str:
    """HTML that shows ``samples`` and needs nothing else."""
    statistics = samples.statistics
    rows = [
        ("molecule", samples.molecule.smiles),
        ("temperature", f"{samples.temperature:g} K"),
        ("samples", f"{len(samples.positions):,}"),
    ]
    if not math.isnan(statistics.effective_sample_size):
        rows.append(("effective samples", f"{statistics.effective_sample_size:,.0f}"))
    if statistics.log_z is not None:
        unit = samples.kT / KJ_PER_KCAL
        value, error = -unit * statistics.log_z.value, unit * statistics.log_z.stderr
        rows.append(("Pareto-k", f"{statistics.pareto_k:.2f}"))
        rows.append(("free energy", f"{value:.3f} ± {error:.3f} kcal/mol"))
    if "converged" in samples.metadata:
        rows.append(("converged", "yes" if samples.metadata["converged"] else "no"))
    conformers = samples.conformers.conformers
    for number, one in enumerate(conformers[:MOST_ROWS], start=1):
        share = f"{100 * one.population.value:.1f} ± {100 * one.population.stderr:.1f} %"
        rows.append((f"conformer {number} of {len(conformers)}", f"{share}: {one.label}"))
    table = "".join(
        f'<tr><td style="text-align:left">{escape(name)}</td>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows
    )
    # A formula is drawn in the colours for light paper, whatever the notebook's theme is.
    picture = f'<div style="background:#fff;border-radius:6px">{depiction_svg(samples.molecule)}</div>'
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1.5em;align-items:center">'
        f"{picture}<table>{table}</table></div>"
    )
