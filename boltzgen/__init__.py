"""boltzgen: Boltzmann-weighted conformers of a molecule, from its energy alone."""

__version__ = "0.1.0"
