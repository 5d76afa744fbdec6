"""Energies: an OpenMM system as a batched, differentiable torch function, and the density it defines."""

from boltzgen.energies.energy import Energy
from boltzgen.energies.target import BoltzmannTarget

__all__ = ["BoltzmannTarget", "Energy"]
