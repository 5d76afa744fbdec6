"""Extended tight binding by tblite: GFN1-xTB and GFN2-xTB.

GFN2: Bannwarth, Ehlert & Grimme, JCTC 15 (2019) 1652–1671. GFN1: Grimme, Bannwarth & Shushkov, JCTC 13 (2017)
1989–2009. Water: ALPB, Ehlert, Stahn, Spicher & Grimme, JCTC 17 (2021) 4250–4261, with tblite's parameters of
the method.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from boltzgen.errors import InputError
from boltzgen.units import BOHR, HARTREE

METHODS = ("GFN1-xTB", "GFN2-xTB")
ACCURACY = 0.01  # tblite's: thresholds of the self-consistent field are this times its defaults


class TightBinding:
    """A molecule's energy by tight binding, its electrons at tblite's electronic temperature of 300 K.

    Parameters
    ----------
    method
        "GFN1-xTB" or "GFN2-xTB".
    numbers
        Atomic numbers.
    charge
        Total charge in units of e.
    unpaired
        Unpaired electrons: the multiplicity less one.
    solvent
        "vacuum" or "water".

    Raises
    ------
    InputError
        Where tblite is not installed.
    """

    kind: ClassVar[str] = "tight-binding"
    in_process = False

    def __init__(
        self,
        method: str,
        numbers: Sequence[int],
        charge: int = 0,
        unpaired: int = 0,
        solvent: str = "vacuum",
    ) -> None:
        if method not in METHODS:
            raise InputError(f"Unknown tight-binding method '{method}': give one of {', '.join(METHODS)}.")
        if importlib.util.find_spec("tblite") is None:
            raise InputError(
                f"{method} needs tblite, which this Python does not have: install boltzgen-conformers[xtb]."
            )
        self.method, self.numbers = method, [int(number) for number in numbers]
        self.charge, self.unpaired, self.solvent = int(charge), int(unpaired), solvent

    @property
    def n_atoms(self) -> int:
        """Atoms of the molecule."""
        return len(self.numbers)

    def recipe(self) -> dict[str, Any]:
        """Arguments that build it again."""
        return {
            "method": self.method,
            "numbers": self.numbers,
            "charge": self.charge,
            "unpaired": self.unpaired,
            "solvent": self.solvent,
        }

    def load(self) -> None:
        """Set tblite up now. Raises InputError where it cannot describe the molecule."""
        _ = self._program

    @cached_property
    def _program(self) -> Any:
        from tblite.exceptions import TBLiteRuntimeError, TBLiteValueError
        from tblite.interface import Calculator

        somewhere = np.arange(3.0 * len(self.numbers)).reshape(-1, 3)
        try:
            program = Calculator(
                self.method, np.array(self.numbers), somewhere, charge=self.charge, uhf=self.unpaired
            )
            program.set("verbosity", 0)
            program.set("accuracy", ACCURACY)
            if self.solvent != "vacuum":
                program.add("alpb-solvation", self.solvent)
        except (TBLiteRuntimeError, TBLiteValueError) as error:
            raise InputError(f"{self.method} cannot describe this molecule: {error}.") from error
        return program

    def energies_and_gradients(
        self, positions: Float[np.ndarray, "n atoms 3"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n atoms 3"]]:
        """Energies in kJ/mol and gradients in kJ/mol/nm.

        +inf and zero where atoms coincide, and where the self-consistent field does not converge.
        """
        from tblite.exceptions import TBLiteRuntimeError

        energies, gradients = np.full(len(positions), np.inf), np.zeros(positions.shape)
        for k, frame in enumerate(positions):
            try:
                self._program.update(positions=frame / BOHR)
                found = self._program.singlepoint()
            except TBLiteRuntimeError:
                continue
            energies[k] = found.get("energy") * HARTREE
            gradients[k] = found.get("gradient") * (HARTREE / BOHR)
        return energies, gradients
