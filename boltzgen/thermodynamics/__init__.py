"""Free energies: how they are estimated, with which errors, and what they mean.

Everything here is a function of arrays: models, molecules' energies and files are for ``workflows/``.

===============  ==============================================================================
blocks           bootstrap over independent blocks, and bias by extrapolation in sample size
estimators       one density against the target: importance weights, frames, Bennett, bounds
multistate       several ensembles at once: MBAR over temperatures or over potentials
temperature      F, U and C over temperature from the energies of a ladder
agreement        whether estimators agree
averages         Boltzmann averages from samples and frames together
combined         samples of a model and frames as one weighted ensemble
regions          regions of configurations that a person names
basins           the basins that chemists name: anti, gauche, axial, chair, hydrogen bonds
conventions      what a free energy means
symmetry_number  how many labelled copies of a configuration Z holds
ideal_gas        entropy of a gas from the free energy of its configurations
overlap          how much two ensembles have in common
quiet            pymbar without its banner and its warnings
===============  ==============================================================================

A *reduced free energy* is f = F/kT = −ln Z, with Z in the measure of ``coordinates/internal.py``.
"""
