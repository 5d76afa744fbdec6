"""The free energy of gauche butane over anti, from one run, with its standard error.

python scripts/examples/gauche_energy.py [--seconds 30]
"""

import argparse
import math

import numpy as np

import boltzgen

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seconds", type=float, default=30.0)
asked = parser.parse_args()

ensemble = boltzgen.sample("CCCC", budget=asked.seconds, seed=1)
torsion = next(iter(ensemble.torsions().values()))
gauche = ensemble.mean(np.abs(torsion) < np.radians(120))
difference = -ensemble.kT * math.log(gauche.value / (1 - gauche.value))
stderr = ensemble.kT * gauche.stderr / (gauche.value * (1 - gauche.value))
print(f"gauche: {100 * gauche.value:.1f} ± {100 * gauche.stderr:.1f} %")
print(f"G(gauche) − G(anti): {difference:.2f} ± {stderr:.2f} kJ/mol")
