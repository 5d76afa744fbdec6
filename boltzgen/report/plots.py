"""Pictures of a run, as SVG text."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from boltzgen.molecules.torsions import conformer_torsions, torsion_values
from boltzgen.units import KJ_PER_KCAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from boltzgen.ensemble import Ensemble
    from boltzgen.records.run import TrainingHistory

MODEL, BOLTZMANN = "#9aa5b1", "#0b6e99"
COLUMNS = 3


def energy_histogram(ensemble: Ensemble) -> str:
    """Potential energies as the model makes them and, where there are weights, as Boltzmann weighs them."""
    energies = ensemble.energies / KJ_PER_KCAL
    low, high = np.quantile(energies[np.isfinite(energies)], (0.0, 0.99))
    figure, axes = _figure(1)
    high = max(high, low + 0.01)  # a single atom has one energy only
    _histograms(axes[0], energies, _boltzmann(ensemble), np.linspace(low, high, 61))
    axes[0].set_xlabel("potential energy / kcal mol⁻¹")
    axes[0].legend(frameon=False)
    return _svg(figure)


def weight_histogram(ensemble: Ensemble) -> str:
    """log w − log Z: a narrow peak at 0 where the model equals the Boltzmann distribution."""
    log_weights = ensemble.log_weights[np.isfinite(ensemble.log_weights)] - ensemble.log_z.value
    figure, axes = _figure(1)
    axes[0].hist(np.clip(log_weights, -10, 10), bins=80, color=MODEL)
    axes[0].set_xlabel("log weight, relative to log Z")
    axes[0].set_ylabel("samples")
    axes[0].axvline(0.0, color="black", linewidth=0.8)
    return _svg(figure)


def torsion_histograms(ensemble: Ensemble) -> str | None:
    """Every torsion that tells conformers apart; None for a molecule with none."""
    torsions = conformer_torsions(ensemble.molecule)
    if not torsions:
        return None
    values = torsion_values(ensemble.positions, torsions)
    figure, axes = _figure(len(torsions))
    for axis, torsion, angles in zip(axes, torsions, values.T, strict=False):
        half = math.degrees(torsion.period) / 2
        _histograms(axis, np.degrees(angles), _boltzmann(ensemble), np.linspace(-half, half, 73))
        axis.set_title(torsion.name, fontsize=9)
        axis.set_xlabel("degrees")
    axes[0].legend(frameon=False, fontsize=8)
    return _svg(figure)


def training_curves(history: TrainingHistory) -> str | None:
    """ESS share and reverse KL of the training batches over time; None without a history."""
    if not history.seconds:
        return None
    figure, axes = _figure(2)
    curves = ((history.ess_fraction, "ESS share"), (history.reverse_kl, "reverse KL / nats"))
    for axis, (values, label) in zip(axes, curves, strict=False):
        axis.plot(history.seconds, values, color=BOLTZMANN)
        axis.set_xlabel("seconds of training")
        axis.set_ylabel(label)
    axes[0].set_ylim(0, 1)
    if max(history.reverse_kl) > 0:
        axes[1].set_yscale("log")
    return _svg(figure)


class Panel(NamedTuple):
    """One histogram of samples over that of reference frames."""

    label: str
    samples: np.ndarray
    reference: np.ndarray
    edges: np.ndarray


def against_reference(panels: list[Panel]) -> str:
    """Densities of samples and of the reference; what lies outside the edges counts, but is not drawn."""
    figure, axes = _figure(len(panels))
    for axis, panel in zip(axes, panels, strict=False):
        for values, label, look in (
            (panel.reference, "reference", {"color": MODEL, "alpha": 0.7}),
            (panel.samples, "model", {"color": BOLTZMANN, "histtype": "step"}),
        ):
            weights = np.full(len(values), 1.0 / (len(values) * (panel.edges[1] - panel.edges[0])))
            axis.hist(values, panel.edges.tolist(), weights=weights, label=label, **look)
        axis.set_xlabel(panel.label)
        axis.set_yticks([])
    axes[0].legend(frameon=False, fontsize=8)
    return _svg(figure)


def _boltzmann(ensemble: Ensemble) -> np.ndarray | None:
    return ensemble.weights if ensemble.has_free_energy else None


def _histograms(axis: Axes, values: np.ndarray, weights: np.ndarray | None, edges: np.ndarray) -> None:
    common: dict[str, Any] = {"bins": edges, "density": True}
    axis.hist(values, color=MODEL, alpha=0.7, label="model", **common)
    if weights is not None:
        axis.hist(values, weights=weights, histtype="step", color=BOLTZMANN, label="Boltzmann", **common)
    axis.set_yticks([])


def _figure(n: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure  # a third of a second, which a run without pictures need not pay

    rows, columns = math.ceil(n / COLUMNS), min(n, COLUMNS)
    figure = Figure(figsize=(4.0 * columns, 2.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[n:]:
        unused.set_axis_off()
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    text = buffer.getvalue()
    return text[text.index("<svg") :]
