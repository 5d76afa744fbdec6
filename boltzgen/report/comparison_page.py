"""comparison.html: the models side by side on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from boltzgen.records.comparison import ComparisonSummary
from boltzgen.report.comparison import (
    VERDICTS,
    comparison_tables,
    said_of_itself,
    torsion_table,
    untrained_table,
)
from boltzgen.report.figures import Shown, shown
from boltzgen.report.templates import render

if TYPE_CHECKING:
    from boltzgen.evaluation.comparison import Yardstick
    from boltzgen.evaluation.description import Described

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
    from boltzgen.molecules.depiction import depiction_svg

    reference = summary.reference
    others = (torsion_table(summary), untrained_table(summary))
    return render(
        "comparison.html",
        summary=summary,
        formula=Markup(depiction_svg(yardstick.molecule)),
        rows=[
            ("molecule", f"{summary.molecule} ({summary.n_atoms} atoms)"),
            ("samples of each model", f"{summary.n_samples:,}"),
            ("reference", reference.source),
            ("frames", f"{reference.n_frames:,}"),
            ("independent frames", f"{reference.effective_sample_size:,.0f}"),
            ("divided", reference.divided),
        ],
        failures=[f"{model.model} failed: {model.failure}" for model in summary.models if model.failure],
        verdicts=VERDICTS,
        note=NOTE,
        tables=[*comparison_tables(summary), *(rows for rows in others if rows.rows)],
        figures_of_models=[said_of_itself(model) for model in summary.models if model.model_figures],
        pictures=[
            _pictures(number, label, yardstick, described)
            for number, (label, described) in enumerate(samples.items())
        ],
    )


def _pictures(number: int, label: str, yardstick: Yardstick, samples: Described) -> Shown:
    """Energies, then torsions, each over the reference's."""
    from boltzgen.plots.distributions import Panel, against_reference

    energies = np.concatenate([half.energies for half in yardstick.halves])
    low, high = np.quantile(energies, (0.0, 0.999))
    panels = [
        Panel("energy / kT", samples.energies, energies, np.linspace(low, high + 0.3 * (high - low), 61))
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
        panels.append(Panel(f"{torsion.name} / degrees", values, reference, np.linspace(-half, half, 73)))
    description = f"Histograms of energies and torsions of {label} over those of the reference."
    return shown(f"model-{number}", against_reference(panels), label, description)
