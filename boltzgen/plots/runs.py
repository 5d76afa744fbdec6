"""Figures of a run itself: its training, and what it spent its time on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from boltzgen.plots.panels import panels
from boltzgen.plots.style import colour


def training_curves(
    seconds: Sequence[float], ess_fraction: Sequence[float], reverse_kl: Sequence[float]
) -> Figure:
    """Share of effective samples and reverse KL divergence (nats) of training batches over time."""
    figure, axes = panels(2, size=(4.6, 2.5))
    for axis, values, label in zip(
        axes, (ess_fraction, reverse_kl), ("effective share of a batch", "reverse KL / nats"), strict=True
    ):
        axis.plot(seconds, values, color=colour("blue"), label=label)
        axis.set_xlabel("seconds of training")
        axis.set_ylabel(label)
    axes[0].set_ylim(0, 1)
    positive = np.array(reverse_kl, dtype=float)
    if np.nanmax(positive, initial=0.0) > 10 * max(np.nanmin(positive, initial=np.inf), 1e-3):
        axes[1].set_yscale("log")
    return figure


def stage_seconds(seconds: Mapping[str, float]) -> Figure:
    """Wall seconds of each stage of a run, in their order; a ``total`` among them is left out."""
    stages = {name: value for name, value in seconds.items() if name != "total"}
    figure, axes = panels(1, size=(4.7, 0.6 + 0.26 * max(len(stages), 1)))
    axis = axes[0]
    places = np.arange(len(stages))[::-1]
    axis.barh(places, list(stages.values()), color=colour("blue"), height=0.65)
    axis.set_yticks(places, list(stages))
    axis.tick_params(axis="y", length=0)
    for place, value in zip(places, stages.values(), strict=True):
        axis.annotate(
            f"{value:.1f} s", (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.margins(x=0.12)
    axis.set_xlabel("seconds")
    return figure
