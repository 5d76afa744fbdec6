"""A process that computes energies and gradients with OpenMM: python worker.py SOCKET.

Every message is preceded by its length, eight bytes. The parent sends the system's XML, then questions: a
platform's name in sixteen bytes and float64 positions [n, atoms, 3]. The answer is "=" and seven spaces, n
energies and n·atoms·3 gradients; where the name is "?", "=" and the name of the platform that is faster for
these positions; where OpenMM fails, "!" and its message. The process ends when the parent goes away.
"""

import socket
import struct
import sys
import time

import numpy as np
import openmm
from openmm import unit

_TRIALS = 5
_LENGTH = struct.Struct("<q")
_NAME = 16  # bytes of a platform's name


class Worker:
    def __init__(self, system: openmm.System) -> None:
        self.system = system
        self._contexts: dict[str, openmm.Context] = {}

    def context(self, platform: str) -> openmm.Context:
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
        """Energy in kJ/mol and gradient in kJ/mol/nm; +inf and zero where either is not finite."""
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
        """The platform that takes less time; Reference has every force, CPU need not."""
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

    def answer(self, question: bytes) -> bytes:
        platform = question[:_NAME].decode().strip()
        n_atoms = self.system.getNumParticles()
        try:
            frames = np.frombuffer(question, dtype=np.float64, offset=_NAME).reshape(-1, n_atoms, 3)
            if platform == "?":
                return b"=" + self.faster(frames[0]).encode()
            results = [self.evaluate(platform, frame) for frame in frames]
        except Exception as error:  # a force written in Python may raise anything: the parent raises it
            return b"!" + (str(error) or type(error).__name__).encode()
        energies = np.array([energy for energy, _ in results])
        gradients = np.array([gradient for _, gradient in results])
        return b"=       " + energies.tobytes() + gradients.tobytes()


def main() -> None:
    stream = socket.socket(fileno=int(sys.argv[1])).makefile("rwb")

    def receive() -> bytes | None:
        length = stream.read(_LENGTH.size)
        return stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else None

    xml = receive()
    if xml is None:
        return
    worker = Worker(openmm.XmlSerializer.deserialize(xml.decode()))
    while (question := receive()) is not None:
        answer = worker.answer(question)
        stream.write(_LENGTH.pack(len(answer)) + answer)
        stream.flush()


if __name__ == "__main__":
    main()
