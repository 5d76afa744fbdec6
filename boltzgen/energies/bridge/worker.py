"""A process that computes energies and gradients with OpenMM, or a calculator: python worker.py SOCKET.

Every message is preceded by its length, eight bytes. The parent sends the system's XML, or the recipe of a
calculator as JSON, which takes the place of OpenMM and has no platforms; then questions: a platform's name in
sixteen bytes and float64 positions [n, atoms, 3]. The answer is "=" and seven spaces, n energies and
n·atoms·3 gradients; where the name is "?", "=" and the name of the platform that is faster for these
positions; where OpenMM fails, "!" and its message. The process ends when the parent goes away.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from typing import Any

import numpy as np
import openmm
from openmm import unit

_TRIALS = 5
_LENGTH = struct.Struct("<q")
_NAME = 16  # bytes of a platform's name


class OpenMMWorker:
    """OpenMM, with a context for each platform asked for."""

    def __init__(self, system: openmm.System) -> None:
        self.system = system
        self._contexts: dict[str, openmm.Context] = {}

    @property
    def n_atoms(self) -> int:
        """Number of particles of the system."""
        return self.system.getNumParticles()

    def evaluate_all(self, platform: str, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate several frames.

        Parameters
        ----------
        platform
            OpenMM's name of the platform.
        frames
            Positions in nm, [n, atoms, 3].

        Returns
        -------
        energies, gradients
            In kJ/mol, [n], and in kJ/mol/nm, [n, atoms, 3].
        """
        results = [self.evaluate(platform, frame) for frame in frames]
        return np.array([energy for energy, _ in results]), np.array([gradient for _, gradient in results])

    def context(self, platform: str) -> openmm.Context:
        """The context of a platform, which is made when it is first asked for.

        Parameters
        ----------
        platform
            OpenMM's name of the platform. CPU runs on one thread.

        Returns
        -------
        openmm.Context
            The same one for every call.
        """
        if platform not in self._contexts:
            properties = {"Threads": "1"} if platform == "CPU" else {}
            self._contexts[platform] = openmm.Context(
                self.system,
                openmm.VerletIntegrator(0.001),
                openmm.Platform.getPlatformByName(platform),
                properties,
            )
        return self._contexts[platform]

    def evaluate(self, platform: str, frame: np.ndarray) -> tuple[float, np.ndarray]:
        """Evaluate one frame.

        Parameters
        ----------
        platform
            OpenMM's name of the platform.
        frame
            Positions in nm, [atoms, 3].

        Returns
        -------
        energy, gradient
            In kJ/mol, and in kJ/mol/nm, [atoms, 3]; +inf and zero where anything is not finite.
        """
        if np.isfinite(frame).all():
            context = self.context(platform)
            context.setPositions(frame)
            state = context.getState(getEnergy=True, getForces=True)
            energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
            forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            if np.isfinite(energy) and np.isfinite(forces).all():
                return energy, -forces
        return np.inf, np.zeros_like(frame)

    def faster(self, frame: np.ndarray) -> str:
        """Measure which platform takes less time; Reference has every force, CPU need not.

        Parameters
        ----------
        frame
            Positions in nm, [atoms, 3], at which both are timed.

        Returns
        -------
        str
            ``"Reference"`` or ``"CPU"``.

        Raises
        ------
        openmm.OpenMMException
            Where the Reference platform cannot evaluate the system.
        """
        timed = []
        for platform in ("Reference", "CPU"):
            try:
                self.evaluate(platform, frame)
            except openmm.OpenMMException:
                if platform == "Reference":
                    raise
                continue
            start = time.perf_counter()
            for _ in range(_TRIALS):
                self.evaluate(platform, frame)
            timed.append((time.perf_counter() - start, platform))
        return min(timed)[1]


class CalculatorWorker:
    """A calculator, which has one way to evaluate.

    Parameters
    ----------
    recipe
        What ``calculators.calculator.described`` returned of the calculator.
    """

    def __init__(self, recipe: dict[str, Any]) -> None:
        from boltzgen.calculators.calculator import from_recipe

        self.calculator = from_recipe(recipe)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of the calculator's molecule."""
        return self.calculator.n_atoms

    def evaluate_all(self, platform: str, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate several frames.

        Parameters
        ----------
        platform
            Not used.
        frames
            Positions in nm, [n, atoms, 3].

        Returns
        -------
        energies, gradients
            In kJ/mol, [n], and in kJ/mol/nm, [n, atoms, 3].
        """
        return self.calculator.energies_and_gradients(frames)

    def faster(self, frame: np.ndarray) -> str:
        """Name the platform to ask for; a calculator has none to choose from.

        Parameters
        ----------
        frame
            Not used.

        Returns
        -------
        str
            ``"Reference"``.
        """
        return "Reference"


def answer(worker: OpenMMWorker | CalculatorWorker, question: bytes) -> bytes:
    """Answer one question of the parent, as the module describes.

    Parameters
    ----------
    worker
        What evaluates.
    question
        A platform's name in sixteen bytes, or ``"?"``, and float64 positions in nm, [n, atoms, 3].

    Returns
    -------
    bytes
        The answer without its length. An error of the evaluation is an answer as well, which starts with "!".
    """
    platform = question[:_NAME].decode().strip()
    try:
        frames = np.frombuffer(question, dtype=np.float64, offset=_NAME).reshape(-1, worker.n_atoms, 3)
        if platform == "?":
            return b"=" + worker.faster(frames[0]).encode()
        energies, gradients = worker.evaluate_all(platform, frames)
    except Exception as error:  # a force written in Python may raise anything: the parent raises it
        return b"!" + (str(error) or type(error).__name__).encode()
    return b"=       " + energies.tobytes() + gradients.tobytes()


def main() -> None:
    """Serve the parent through the socket whose file descriptor is the first argument, until it is closed."""
    stream = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")

    def receive() -> bytes | None:
        length = stream.read(_LENGTH.size)
        return stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else None

    first = receive()
    if first is None:
        return
    description = first.decode()
    worker = (
        CalculatorWorker(json.loads(description))
        if description.startswith("{")
        else OpenMMWorker(openmm.XmlSerializer.deserialize(description))
    )
    while (question := receive()) is not None:
        reply = answer(worker, question)
        stream.write(_LENGTH.pack(len(reply)) + reply)
        stream.flush()


if __name__ == "__main__":
    main()
