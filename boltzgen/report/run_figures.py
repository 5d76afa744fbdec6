"""The figures of the page of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boltzgen.records.run import ReferenceSummary, RunSummary, TrainingHistory
from boltzgen.report.figures import Shown, shown, shown_if_any

if TYPE_CHECKING:
    from boltzgen.ensemble import Ensemble


def run_figures(ensemble: Ensemble, summary: RunSummary | ReferenceSummary) -> dict[str, Shown | None]:
    """The figures of the page by name; None where there is nothing to draw."""
    from boltzgen.plots.runs import stage_seconds

    populations = [
        f"{number}: {100 * one.population.value:.1f} %"
        for number, one in enumerate(ensemble.conformers.conformers[:10], start=1)
    ]
    basins = [
        f"{one.torsion.name} in {len(one.centres)} basin{'s' if len(one.centres) > 1 else ''}"
        for one in ensemble.conformers.torsion_states[:24]
    ]
    history = summary.training_history if isinstance(summary, RunSummary) else None
    return {
        "conformers": shown(
            "conformers", ensemble.plot_conformers(), "Main conformers", "Drawings of the main conformers."
        ),
        "populations": shown(
            "populations",
            ensemble.plot_populations(),
            "Populations",
            f"Bars of the populations of conformers. {'; '.join(populations)}.",
            "With standard errors.",
        ),
        "torsions": shown_if_any(
            "torsions",
            ensemble.plot_torsions,
            "Distributions",
            f"Histograms of torsions: {'; '.join(basins)}.",
        ),
        "map": None
        if _is_ramachandran(ensemble)
        else shown_if_any(
            "map",
            ensemble.plot_torsion_map,
            "The two softest torsions",
            "Maps of the free energy of two torsions in colour, from 0 to 5 kcal/mol.",
        ),
        "ramachandran": shown_if_any(
            "ramachandran",
            ensemble.plot_ramachandran,
            "Ramachandran plots",
            "Maps of the free energy of φ and ψ in colour, from 0 to 5 kcal/mol.",
        ),
        "rings": shown_if_any(
            "rings",
            ensemble.plot_ring_puckers,
            "Ring puckers",
            "Histograms of the Cremer–Pople angles of rings.",
            "Angles of Cremer and Pople (1975), ring atoms in the order of the title.",
        ),
        "energies": shown(
            "energies", ensemble.plot_energies(), "Potential energy", "Histogram of potential energies."
        ),
        "weights": shown_if_any(
            "weights",
            ensemble.plot_weights,
            "Log weights",
            "Histograms of log weights: of all samples, and of their share of the sum of squared weights.",
            "A narrow peak about 0: the model is near the Boltzmann distribution. The effective sample size"
            " is (Σw)² / Σw²; the second panel shows which weights decide it.",
        ),
        "training": _training(history),
        "cost": shown(
            "cost",
            stage_seconds(summary.wall_seconds),
            "Wall time",
            f"Bars of seconds: {'; '.join(f'{k} {v:.1f}' for k, v in summary.wall_seconds.items())}.",
        ),
    }


def _training(history: TrainingHistory | None) -> Shown | None:
    from boltzgen.plots.runs import training_curves

    if history is None or not history.seconds:
        return None
    return shown(
        "training",
        training_curves(history.seconds, history.ess_fraction, history.reverse_kl),
        "Training",
        f"Curves over {history.seconds[-1]:.0f} s; the effective share of a batch ends at"
        f" {100 * history.ess_fraction[-1]:.0f} %.",
    )


def _is_ramachandran(ensemble: Ensemble) -> bool:
    """Whether the map of the two softest torsions is the Ramachandran plot of the only residue."""
    from boltzgen.molecules.torsions import ramachandran_torsions
    from boltzgen.plots.torsions import softest_pair

    residues = ramachandran_torsions(ensemble.molecule)
    if len(residues) != 1:
        return False
    states = ensemble.conformers.torsion_states
    return {states[k].torsion.axis for k in softest_pair(ensemble)} == {one.axis for one in residues[0]}
