"""Energies: an OpenMM system as a batched, differentiable torch function, and the density it defines.

compiler    ``compile_system``: an ``openmm.System`` becomes an ``Energy``.
energy      ``Energy``: the sum of terms as a torch module.
operators   The energy as an operator of torch.
target      ``BoltzmannTarget``: the reduced energy u(x) = U(x)/kT of positions [batch, atoms, 3].
storage     Energies as files without code.
readers/    One function for each kind of OpenMM force, which makes terms of it.
language/   OpenMM's expression language, read into graphs.
terms/      What an energy is a sum of: expressions over clusters of atoms, and implicit solvents.
backends/   How terms are evaluated: by torch operations, or by machine code made through C++.
calculated  Terms that a calculator computes: quantum chemistry, machine-learned potentials.
bridge/     Forces that only OpenMM can compute, evaluated by OpenMM in worker processes.

Inside this folder positions have the batch last, [3, atoms, batch]; ``BoltzmannTarget`` is where the public
layout [batch, atoms, 3] is turned. To add a force, write its reader and name it in ``compiler``; to add a
backend, derive from ``backends.backend.Backend`` and name it in ``energy``.
"""

from boltzgen.energies.energy import Energy
from boltzgen.energies.target import BoltzmannTarget

__all__ = ["BoltzmannTarget", "Energy"]
