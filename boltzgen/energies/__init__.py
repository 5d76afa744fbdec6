"""Energies: an OpenMM system as a batched, differentiable torch function, and the density it defines."""

from .energy import Energy
from .target import BoltzmannTarget

__all__ = ["BoltzmannTarget", "Energy"]
