"""Many molecules: any number of workers share the molecules of one folder, each of which is sampled once.

===================  =====================================================================
listing              the molecules of a file: names, duplicates, stereoisomers, bad lines
folder               what a campaign keeps on disk, and which molecules are done
molecule             one molecule: its run, and how it ended
child                a process of its own for each molecule, with limits on time and memory
worker               claims molecules one after the other, and tries again what failed
local                several workers on one machine
slurm                several machines, by an array of Slurm jobs (submitit)
status               how many are done, how long the rest takes
collection           one table, one file of conformers and one page of all molecules
===================  =====================================================================

Workers know nothing of each other. They meet in the folder alone, by operations that are atomic on shared
file systems (``boltzgen/files/lock.py``), so that they may be started by anything: a terminal, a job array,
GNU parallel, Snakemake.
"""
