"""A process that computes energies and gradients with OpenMM: python bridge_worker.py SOCKET EXACT.

It reads the system's XML from its parent, then chunks of float64 positions [n, atoms, 3]; it answers "=" and
seven spaces, n energies and n·atoms·3 gradients, or "!" and a message. It ends when the parent goes away.
"""

import sys
import time
from multiprocessing.connection import Connection

import numpy as np
import openmm
from openmm import unit

_TRIALS = 5


def context(system: openmm.System, platform: str) -> openmm.Context:
    properties = {"Threads": "1"} if platform == "CPU" else {}
    integrator = openmm.VerletIntegrator(0.001)
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)


def evaluate(on: openmm.Context, frame: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy in kJ/mol and gradient in kJ/mol/nm; +inf and zero where either is not finite."""
    if np.isfinite(frame).all():
        on.setPositions(frame)
        state = on.getState(getEnergy=True, getForces=True)
        energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
        if np.isfinite(energy) and np.isfinite(forces).all():
            return energy, -forces
    return np.inf, np.zeros_like(frame)


def faster(system: openmm.System, frame: np.ndarray) -> openmm.Context:
    """A context on the platform that takes less time for this system."""
    timed = []
    for platform in ("Reference", "CPU"):
        candidate = context(system, platform)
        evaluate(candidate, frame)
        start = time.perf_counter()
        for _ in range(_TRIALS):
            evaluate(candidate, frame)
        timed.append((time.perf_counter() - start, platform, candidate))
    return min(timed, key=lambda entry: entry[:2])[2]


def main() -> None:
    connection, exact = Connection(int(sys.argv[1])), bool(int(sys.argv[2]))
    system = openmm.XmlSerializer.deserialize(connection.recv_bytes().decode())
    n_atoms = system.getNumParticles()
    on = context(system, "Reference") if exact else None
    while True:
        try:
            frames = np.frombuffer(connection.recv_bytes(), dtype=np.float64).reshape(-1, n_atoms, 3)
        except EOFError:
            return
        try:
            on = on or faster(system, frames[0])
            results = [evaluate(on, frame) for frame in frames]
        except openmm.OpenMMException as error:
            connection.send_bytes(b"!" + str(error).encode())
            continue
        energies = np.array([energy for energy, _ in results])
        gradients = np.array([gradient for _, gradient in results])
        connection.send_bytes(b"=       " + energies.tobytes() + gradients.tobytes())


if __name__ == "__main__":
    main()
