"""boltzgen: Boltzmann-weighted conformers of a molecule, from its energy alone.

``sample`` does it all. ``load_system``, ``compile_system`` and ``BoltzmannTarget`` give the energy by itself;
a ``Problem`` is what models are built from, ``FAMILIES`` are the models by name.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public names and where they live. Loaded when first used: training on a cluster needs torch alone.
_PUBLIC = {
    "BoltzmannTarget": "boltzgen.energies.target",
    "Ensemble": "boltzgen.ensemble",
    "EvaluationError": "boltzgen.errors",
    "FAMILIES": "boltzgen.training.families",
    "Family": "boltzgen.training.families",
    "FreeEnergySummary": "boltzgen.records.free_energy",
    "GenerativeModel": "boltzgen.models.model",
    "ImplicitModel": "boltzgen.models.model",
    "InputError": "boltzgen.errors",
    "LatentVariableModel": "boltzgen.models.model",
    "MolecularSystem": "boltzgen.systems",
    "Molecule": "boltzgen.molecules.molecule",
    "NotConvergedError": "boltzgen.errors",
    "Problem": "boltzgen.problem",
    "RunSummary": "boltzgen.records.run",
    "SampleConfig": "boltzgen.workflows.config",
    "compile_system": "boltzgen.energies.compiler",
    "free_energy": "boltzgen.workflows.free_energy",
    "load_model": "boltzgen.training.model_file",
    "load_system": "boltzgen.systems",
    "sample": "boltzgen.workflows.sample",
}
__all__ = [
    "FAMILIES",
    "BoltzmannTarget",
    "Ensemble",
    "EvaluationError",
    "Family",
    "FreeEnergySummary",
    "GenerativeModel",
    "ImplicitModel",
    "InputError",
    "LatentVariableModel",
    "MolecularSystem",
    "Molecule",
    "NotConvergedError",
    "Problem",
    "RunSummary",
    "SampleConfig",
    "compile_system",
    "free_energy",
    "load_model",
    "load_system",
    "sample",
]

if TYPE_CHECKING:
    from boltzgen.energies.compiler import compile_system
    from boltzgen.energies.target import BoltzmannTarget
    from boltzgen.ensemble import Ensemble
    from boltzgen.errors import EvaluationError, InputError, NotConvergedError
    from boltzgen.models.model import GenerativeModel, ImplicitModel, LatentVariableModel
    from boltzgen.molecules.molecule import Molecule
    from boltzgen.problem import Problem
    from boltzgen.records.free_energy import FreeEnergySummary
    from boltzgen.records.run import RunSummary
    from boltzgen.systems import MolecularSystem, load_system
    from boltzgen.training.families import FAMILIES, Family
    from boltzgen.training.model_file import load_model
    from boltzgen.workflows.config import SampleConfig
    from boltzgen.workflows.free_energy import free_energy
    from boltzgen.workflows.sample import sample


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'boltzgen' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names, and the version."""
    return [*__all__, "__version__"]
