"""boltzgen: Boltzmann-weighted conformers of a molecule, from its energy alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live. Loaded when first used: training on a cluster needs torch alone.
_PUBLIC = {
    "BoltzmannTarget": "boltzgen.energies.target",
    "Ensemble": "boltzgen.ensemble",
    "InputError": "boltzgen.errors",
    "Molecule": "boltzgen.molecules.molecule",
    "Problem": "boltzgen.problem",
    "compile_system": "boltzgen.energies.compiler",
    "load_model": "boltzgen.training.model_file",
    "load_system": "boltzgen.systems",
    "sample": "boltzgen.workflows.sample",
}
__all__ = [
    "BoltzmannTarget",
    "Ensemble",
    "InputError",
    "Molecule",
    "Problem",
    "compile_system",
    "load_model",
    "load_system",
    "sample",
]

if TYPE_CHECKING:
    from boltzgen.energies.compiler import compile_system
    from boltzgen.energies.target import BoltzmannTarget
    from boltzgen.ensemble import Ensemble
    from boltzgen.errors import InputError
    from boltzgen.molecules.molecule import Molecule
    from boltzgen.problem import Problem
    from boltzgen.systems import load_system
    from boltzgen.training.model_file import load_model
    from boltzgen.workflows.sample import sample


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'boltzgen' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
