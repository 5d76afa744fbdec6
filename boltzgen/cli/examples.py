"""An example of each command, shown at the end of its --help. A test reads each as the command line does."""

EXAMPLES = {
    "sample": 'boltzgen sample "CC(=O)N[C@@H](C)C(=O)NC" -n 10000 --budget 5m -o dipeptide/',
    "train": "boltzgen train dipeptide/config.toml -o again/",
    "energy": "boltzgen energy CCO conformers.sdf --solvent obc2",
    "conformers": "boltzgen conformers dipeptide/ --format sdf,xyz --minimise -o for-docking/",
    "reference": "boltzgen reference CCO --picoseconds 100 -o reference/",
    "compare": "boltzgen compare CCO --models flow,vae --budget 2m -o comparison/",
    "reweight": "boltzgen reweight dipeptide/ --energies energies.csv -o reweighted/",
    "free-energy": "boltzgen free-energy CCCC --temperatures 280,300,320 --budget 1m",
    "campaign": "boltzgen campaign molecules.smi -o campaign/ --workers 4 --budget 2m",
    "collect": "boltzgen collect campaign/",
    "systems": "boltzgen systems",
    "doctor": "boltzgen doctor --json",
}
