"""The command line: parse, call a workflow, print. Nothing is computed here.

One file holds one command, a function of the command's name; ``application`` lists them.

application          the list of commands, and ``main``, which turns errors into exit codes
exits                the exit codes and how an error is told
options              arguments and options that several commands share
runs                 progress of a run on the terminal, and its end
sample, train        train a model, sample it, weigh the samples, report
energy               energies of given conformers
reference            an ensemble by replica exchange
compare              every kind of model on one molecule
free_energy          free energies, and differences between two states
campaign, collect    many molecules, and one table of all
systems              the molecular systems known by name

The libraries that take long to import are imported inside the commands, so that ``--help`` is quick.
"""

from boltzgen.cli.runs import STARTED  # isort: skip  (first: start-up counts against the time of a run)
from boltzgen.cli.application import app, main

__all__ = ["STARTED", "app", "main"]
