"""Machine-learned potentials, loaded by OpenMM-ML or, where their models take batches, by themselves.

ANI-2x: Devereux et al., JCTC 16 (2020) 4192–4202. AIMNet2: Anstine, Zubatyuk & Isayev, Chem. Sci. 16 (2025)
10228–10244. OpenMM-ML has many others, each with a package of its own that brings or downloads the weights.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import openmm
import openmm.app
import torch
from jaxtyping import Float
from torch import Tensor

from boltzgen.errors import InputError
from boltzgen.units import ELECTRONVOLT, HARTREE, NM_PER_ANGSTROM

Batched = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Positions [n, atoms, 3] in Å, float64, to energies in kJ/mol and gradients in kJ/mol/Å."""

BATCH = 256  # conformations at once: the graphs of their gradients are in memory
NEUTRAL_ONLY = ("ani1ccx", "ani2x")


class LearnedPotential:
    """A molecule's energy by a potential that OpenMM-ML knows by name.

    Parameters
    ----------
    name
        As ``openmmml.MLPotential`` takes it: "ani2x", "aimnet2", "mace-off23-small", …
    numbers
        Atomic numbers.
    charge
        Total charge in units of e.
    multiplicity
        Of the spin.

    Raises
    ------
    InputError
        Where OpenMM-ML or the potential's own package is missing, and for an ion where the potential knows
        neutral molecules only.
    """

    kind: ClassVar[str] = "learned"
    in_process = True

    def __init__(self, name: str, numbers: Sequence[int], charge: int = 0, multiplicity: int = 1) -> None:
        if name in NEUTRAL_ONLY and (charge or multiplicity != 1):
            raise InputError(
                f"{name} describes neutral closed-shell molecules only; this one has charge {charge} and"
                f" multiplicity {multiplicity}: choose another force field."
            )
        if importlib.util.find_spec("openmmml") is None:
            raise InputError(
                f"The potential '{name}' needs OpenMM-ML, which this Python does not have: install"
                " boltzgen-conformers[ml]."
            )
        self.name, self.numbers = name, [int(number) for number in numbers]
        self.charge, self.multiplicity = int(charge), int(multiplicity)

    @property
    def n_atoms(self) -> int:
        """Atoms of the molecule."""
        return len(self.numbers)

    def recipe(self) -> dict[str, Any]:
        """Arguments that build it again."""
        return {
            "name": self.name,
            "numbers": self.numbers,
            "charge": self.charge,
            "multiplicity": self.multiplicity,
        }

    @cached_property
    def _evaluate(self) -> Batched:
        """The potential, loaded. Raises InputError where it cannot be."""
        build = BATCHED.get(self.name, _one_by_one)
        try:
            return build(self)
        except ImportError as error:
            raise InputError(
                f"The potential '{self.name}' needs a package that this Python does not have ({error}):"
                " install it, or choose another force field."
            ) from error
        except OSError as error:  # weights that cannot be downloaded
            raise InputError(
                f"The weights of '{self.name}' cannot be loaded ({error}): fetch them on a machine that has"
                " access to the network, or choose another force field."
            ) from error

    def load(self) -> None:
        """Load the potential now. Raises InputError where it cannot be."""
        _ = self._evaluate

    def energies_and_gradients(
        self, positions: Float[np.ndarray, "n atoms 3"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n atoms 3"]]:
        """Energies in kJ/mol and gradients in kJ/mol/nm; +inf and zero where they are not finite."""
        energies, gradients = [], []
        for chunk in torch.as_tensor(positions / NM_PER_ANGSTROM).double().split(BATCH):
            with torch.enable_grad():
                energy, gradient = self._evaluate(chunk)
            sound = energy.isfinite() & gradient.isfinite().all(2).all(1)
            energies.append(torch.where(sound, energy, torch.inf))
            gradients.append(torch.where(sound[:, None, None], gradient, 0.0) / NM_PER_ANGSTROM)
        return torch.cat(energies).numpy(), torch.cat(gradients).numpy()


def topology(numbers: Sequence[int]) -> openmm.app.Topology:
    """Atoms of the given elements in one residue, without bonds: all that learned potentials ask for."""
    result = openmm.app.Topology()
    residue = result.addResidue("MOL", result.addChain())
    for index, number in enumerate(numbers):
        element = openmm.app.Element.getByAtomicNumber(number)
        result.addAtom(f"{element.symbol}{index + 1}", element, residue)
    return result


def _one_by_one(potential: LearnedPotential) -> Batched:
    """Any potential of OpenMM-ML, evaluated by OpenMM."""
    from openmmml import MLPotential

    if potential.name not in MLPotential._implFactories:
        raise InputError(
            f"OpenMM-ML knows no potential '{potential.name}'; there are"
            f" {', '.join(sorted(MLPotential._implFactories))}."
        )
    system = MLPotential(potential.name).createSystem(
        topology(potential.numbers),
        removeCMMotion=False,
        charge=potential.charge,
        multiplicity=potential.multiplicity,
    )
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        energies, gradients = [], []
        for frame in x:
            context.setPositions(frame.numpy() * NM_PER_ANGSTROM)
            state = context.getState(energy=True, forces=True)
            energies.append(state.getPotentialEnergy()._value)
            gradients.append(-state.getForces(asNumpy=True)._value * NM_PER_ANGSTROM)
        return torch.tensor(energies, dtype=torch.float64), torch.as_tensor(np.array(gradients))

    return evaluate


def _ani(potential: LearnedPotential) -> Batched:
    """ANI by TorchANI in double precision: in single a total energy of 10⁶ kJ/mol keeps tenths only.

    The forces of OpenMM-ML 1.8's own ANI are per ångström, a tenth of what OpenMM takes them for.
    """
    import torchani

    models = {"ani1ccx": torchani.models.ANI1ccx, "ani2x": torchani.models.ANI2x}
    model = models[potential.name](periodic_table_index=True).double()
    species = torch.tensor([potential.numbers])

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        energies = model((species.expand(len(x), -1), x)).energies * HARTREE
        (gradients,) = torch.autograd.grad(energies.sum(), x)
        return energies.detach(), gradients

    return evaluate


def _aimnet2(potential: LearnedPotential) -> Batched:
    """AIMNet2, the first member of the ensemble as OpenMM-ML has it by default."""
    from aimnet.calculators import AIMNet2Calculator
    from openmmml.models.aimnet2potential import AIMNet2PotentialImpl

    model = AIMNet2Calculator(f"{AIMNet2PotentialImpl.KNOWN_MODELS[potential.name]}_0")
    numbers = torch.tensor([potential.numbers])

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        n = len(x)
        found = model(
            {
                "coord": x.float(),
                "numbers": numbers.expand(n, -1),
                "charge": torch.full((n,), float(potential.charge)),
                "mult": torch.full((n,), float(potential.multiplicity)),
            },
            forces=True,
        )
        energies = found["energy"].detach().cpu().double().reshape(n) * ELECTRONVOLT
        return energies, -found["forces"].detach().cpu().double().reshape(x.shape) * ELECTRONVOLT

    return evaluate


BATCHED: dict[str, Callable[[LearnedPotential], Batched]] = {
    "ani1ccx": _ani,
    "ani2x": _ani,
    "aimnet2": _aimnet2,
    "aimnet2-2025": _aimnet2,
}
"""Potentials that evaluate many conformations at once, by OpenMM-ML's name."""
