"""Figures as methods of an ensemble. matplotlib is imported when the first one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from boltzgen.plots.samples import DrawableSamples

if TYPE_CHECKING:
    import py3Dmol
    from matplotlib.figure import Figure


class SampleFigures:
    """What ``DrawableSamples`` look like. Each method raises InputError where there is nothing to draw."""

    def plot_torsions(self: DrawableSamples, most: int = 24) -> Figure:
        """Histograms of the torsions that tell conformers apart, the softest ``most``, with named basins.

        As generated, reweighted and, for a run, by its replica exchange.
        """
        from boltzgen.plots.torsions import torsion_histograms

        return torsion_histograms(self, most)

    def plot_torsion_map(self: DrawableSamples, i: int | None = None, j: int | None = None) -> Figure:
        """Free energy of torsions i and j, places in ``torsions()``; by default of the two softest ones."""
        from boltzgen.plots.torsions import torsion_map

        return torsion_map(self, i, j)

    def plot_ramachandran(self: DrawableSamples) -> Figure:
        """Free energy of φ and ψ of every residue of a peptide."""
        from boltzgen.plots.torsions import ramachandran

        return ramachandran(self)

    def plot_ring_puckers(self: DrawableSamples) -> Figure:
        """Cremer–Pople angles of rings of five and six atoms."""
        from boltzgen.plots.rings import ring_puckers

        return ring_puckers(self)

    def plot_energies(self: DrawableSamples) -> Figure:
        """Histogram of potential energies above the lowest."""
        from boltzgen.plots.distributions import energies

        return energies(self)

    def plot_weights(self: DrawableSamples) -> Figure:
        """Histogram of log weights, and which of them decide the effective sample size."""
        from boltzgen.plots.distributions import log_weights

        return log_weights(self)

    def plot_populations(self: DrawableSamples, most: int = 10) -> Figure:
        """Populations of the ``most`` main conformers with standard errors."""
        from boltzgen.plots.conformers import populations

        return populations(self, most)

    def plot_conformers(self: DrawableSamples, most: int = 6) -> Figure:
        """Drawings of the ``most`` main conformers, superposed."""
        from boltzgen.plots.conformers import drawn_conformers

        return drawn_conformers(self, most)

    def view(self: DrawableSamples, most: int = 10, width: int = 640, height: int = 420) -> py3Dmol.view:
        """The ``most`` main conformers superposed, to be turned in a notebook (needs py3Dmol)."""
        from boltzgen.plots.viewer import notebook_view

        return notebook_view(self, most, width=width, height=height)

    def _repr_html_(self: DrawableSamples) -> str:
        """Formula, verdict and main figures, for notebooks."""
        from boltzgen.plots.notebook import ensemble_html

        return ensemble_html(self)
