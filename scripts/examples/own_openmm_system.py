"""Boltzmann-weighted conformers in an OpenMM system of your own: here AMBER ff14SB, built by OpenMM alone.

python scripts/examples/own_openmm_system.py [--seconds 60]
"""

import argparse

import numpy as np
from openmm import app, unit

import boltzgen

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=60.0)
asked = parser.parse_args()

# Any source of a topology, positions and a system without constraints will do.
start = boltzgen.load_system("ACE-GLY-NME").molecule
topology, positions = start.to_openmm_topology(), start.seed_conformers(1)[0] * unit.nanometer
system = app.ForceField("amber14/protein.ff14SB.xml").createSystem(topology, app.NoCutoff, constraints=None)

ensemble = boltzgen.sample(
    (topology, system),
    positions=positions,
    temperature=300 * unit.kelvin,
    budget=asked.seconds * unit.second,
)
print(f"{ensemble.effective_sample_size:.0f} effective samples; converged: {ensemble.metadata['converged']}")
first, last = 0, ensemble.molecule.n_atoms - 1
distance = np.linalg.norm(ensemble.positions[:, first] - ensemble.positions[:, last], axis=1)
found = ensemble.mean(distance)
print(f"mean distance of the first and the last atom: {found.value:.3f} ± {found.stderr:.3f} nm")
