"""Force fields that are programs: tight binding and machine-learned potentials as an ``openmm.System``."""

from __future__ import annotations

import openmm

from boltzgen.calculators.calculator import Calculator, add_calculator
from boltzgen.calculators.tight_binding import TightBinding
from boltzgen.molecules.molecule import Molecule

LEARNED = {
    "ani1ccx": "ani1ccx",
    "ani2x": "ani2x",
    "aimnet2": "aimnet2",
    "mace": "mace-off23-medium",
}
"""Force fields by name, and what OpenMM-ML calls them."""


def tight_binding_system(molecule: Molecule, method: str, solvent: str) -> openmm.System:
    """``molecule`` by "GFN1-xTB" or "GFN2-xTB", in "vacuum" or ALPB "water".

    Charge and number of unpaired electrons are those of the molecule's formula. Raises InputError.
    """
    numbers = molecule.atomic_numbers.tolist()
    calculator = TightBinding(method, numbers, molecule.formal_charge, unpaired_electrons(molecule), solvent)
    return _system(molecule, calculator, method)


def learned_system(molecule: Molecule, potential: str) -> openmm.System:
    """``molecule`` in vacuum by a potential of OpenMM-ML. Raises InputError where it cannot be loaded."""
    from boltzgen.calculators.learned import LearnedPotential

    numbers = molecule.atomic_numbers.tolist()
    calculator = LearnedPotential(
        potential, numbers, molecule.formal_charge, 1 + unpaired_electrons(molecule)
    )
    return _system(molecule, calculator, potential)


def unpaired_electrons(molecule: Molecule) -> int:
    """Radical electrons of the molecule's formula, all with parallel spins."""
    return sum(atom.GetNumRadicalElectrons() for atom in molecule.rdmol.GetAtoms())


def _system(molecule: Molecule, calculator: Calculator, name: str) -> openmm.System:
    calculator.load()
    system = openmm.System()
    for mass in molecule.masses:
        system.addParticle(float(mass))
    add_calculator(system, calculator, name)
    return system
