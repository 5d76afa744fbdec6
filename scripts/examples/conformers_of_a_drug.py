"""Conformers of ibuprofen with their populations, and the minima of the main ones for docking.

python scripts/examples/conformers_of_a_drug.py [--seconds 120] [--out ibuprofen]
"""

import argparse
from pathlib import Path

import boltzgen
from boltzgen.workflows.conformers import write_conformers

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=120.0)
parser.add_argument("--out", type=Path, default=Path("ibuprofen"))
asked = parser.parse_args()

ensemble = boltzgen.sample("CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O", budget=asked.seconds, out=asked.out)
print(f"{ensemble.effective_sample_size:.0f} effective samples; converged: {ensemble.metadata['converged']}")
for one in ensemble.distinct_conformers(most=10):
    print(f"{100 * one.population:5.1f} ± {100 * one.population_stderr:.1f} %   {one.label}")
minima = write_conformers(asked.out, asked.out / "docking", ("sdf", "pdb"), minimise=True, most=10)
print(f"{len(minima)} minima in {asked.out / 'docking'}")
