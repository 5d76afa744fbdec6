"""report.html: a run on one page that needs nothing else, to be shown to somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from boltzgen.records.run import ReferenceSummary, RunSummary, read_summary
from boltzgen.report.run_figures import run_figures
from boltzgen.report.scales import Scale, effective_sample_scale, missed_scale, pareto_scale
from boltzgen.report.templates import render
from boltzgen.report.terminal import summary_rows

if TYPE_CHECKING:
    from boltzgen.ensemble import Ensemble


def report_page(ensemble: Ensemble, command: str = "") -> str:
    """The page of a run of ``boltzgen sample`` or ``boltzgen reference`` as HTML text.

    Parameters
    ----------
    ensemble
        With the metadata of its run.
    command
        What repeats the run on a command line; left out where it is empty.
    """
    from boltzgen.molecules.depiction import depiction_svg

    summary = read_summary(ensemble.summary())
    found = len(ensemble.conformers.conformers)
    combinations = (
        "combination of torsion states has" if found == 1 else "combinations of torsion states have"
    )
    models = viewer_data(ensemble)
    names = ", ".join(one.torsion.name for one in ensemble.conformers.torsion_states)
    setting = f"{summary.forcefield}, {summary.solvent}, {summary.temperature_K:g} K"
    title = ensemble.molecule.name or summary.molecule
    return render(
        "run.html",
        name=title,
        subtitle=setting if title == summary.molecule else f"{summary.molecule} · {setting}",
        converged=summary.converged,
        headline=headline(summary),
        reasons=reasons(summary),
        notes=summary.warnings if summary.converged else [],
        cost=cost_text(summary),
        rows=summary_rows(summary),
        formula=Markup(depiction_svg(ensemble.molecule)),
        conformer_text=(
            f"{found:,} {combinations} a population; the viewer steps through the {len(models['models'])}"
            " most populated, each as its sample of lowest energy, superposed on the first."
        ),
        conformer_caption=(
            "Energies in kcal/mol. Free energy: −kT ln of the population, above that of the first conformer;"
            f" energy: of the sample shown, above the lowest. States in the order {names or 'of no torsion'}."
        ),
        torsion_text=(
            "Densities of torsions; dotted lines bound the basins, whose names and populations stand above."
        ),
        viewer=models,
        figures=run_figures(ensemble, summary),
        scales=scales(summary),
        command=command,
        versions=sorted(summary.versions.items()),
    )


def headline(summary: RunSummary | ReferenceSummary) -> str:
    """The verdict in one sentence."""
    n, ess = summary.n_samples, summary.effective_sample_size
    if not summary.converged:
        return "This run did not converge."
    return f"Converged: {n:,} samples are worth {ess:,.0f} independent ones of the Boltzmann distribution."


def reasons(summary: RunSummary | ReferenceSummary) -> list[str]:
    """Why the verdict is what it is."""
    if not summary.converged:
        return summary.warnings
    if isinstance(summary, ReferenceSummary):
        return [
            f"The slowest observable is {summary.slowest_observable}; its two halves differ by"
            f" {summary.largest_drift:.1f} standard errors at most."
        ]
    if summary.answer == "replica exchange" and summary.replica_exchange is not None:
        quality = summary.replica_exchange
        return [
            "The samples are frames of the run's own replica exchange, which was better than the model.",
            f"Its {quality.n_ladders} ladders agree: R-hat {quality.r_hat:.3f} at most; the two halves of the"
            f" run differ by {quality.largest_drift:.1f} standard errors at most.",
        ]
    return [f"{scale.name} {scale.text}: {scale.meaning}." for scale in scales(summary)]


def cost_text(summary: RunSummary | ReferenceSummary) -> str:
    """What the run took."""
    took = f"It took {_duration(summary.wall_seconds['total'])} on {summary.device}"
    took += f" and {summary.n_energy_evaluations:,} evaluations of the energy"
    if isinstance(summary, RunSummary):
        took += (
            f", with {summary.n_training_steps:,} steps of training of {summary.n_parameters:,} parameters"
        )
    return took + "."


def scales(summary: RunSummary | ReferenceSummary) -> list[Scale]:
    """What decides the verdict; nothing where there are no weights."""
    if not isinstance(summary, RunSummary) or summary.free_energy_kT is None:
        return []
    return [
        effective_sample_scale(summary.effective_sample_size, summary.n_samples),
        pareto_scale(summary.pareto_k),
        missed_scale(summary.missed_frame_share),
    ]


def viewer_data(ensemble: Ensemble) -> dict[str, Any]:
    """What the viewer shows: conformers, torsions that can be marked, colours of elements."""
    from boltzgen.plots.conformers import element_colour
    from boltzgen.plots.viewer import conformer_models

    states = ensemble.conformers.torsion_states
    elements = {atom.GetSymbol(): atom.GetAtomicNum() for atom in ensemble.molecule.rdmol.GetAtoms()}
    return {
        "models": [model._asdict() for model in conformer_models(ensemble)],
        "torsions": [{"name": one.torsion.name, "axis": one.torsion.axis} for one in states],
        "colours": {symbol: element_colour(number) for symbol, number in elements.items()},
    }


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
