"""The program ``boltzgen``: its commands, and the exit code that each kind of error ends in."""

from __future__ import annotations

from typing import Annotated

import typer

from boltzgen import __version__
from boltzgen.cli.campaign import campaign
from boltzgen.cli.collect import collect
from boltzgen.cli.compare import compare
from boltzgen.cli.conformers import conformers
from boltzgen.cli.doctor import doctor
from boltzgen.cli.energy import energy
from boltzgen.cli.examples import EXAMPLES
from boltzgen.cli.exits import EXIT_BAD_INPUT, EXIT_FAULT, EXIT_NOT_CONVERGED, TOO_LITTLE_MEMORY, end
from boltzgen.cli.free_energy import free_energy
from boltzgen.cli.reference import reference
from boltzgen.cli.reweight import reweight
from boltzgen.cli.sample import sample
from boltzgen.cli.systems import systems
from boltzgen.cli.train import train
from boltzgen.errors import EvaluationError, InputError, NotConvergedError
from boltzgen.interruption import InterruptedRunError, raising_on_signals
from boltzgen.memory import is_shortage

# In the order of --help. Each is called as it is named here.
COMMANDS = (
    sample,
    train,
    energy,
    conformers,
    reference,
    compare,
    reweight,
    free_energy,
    campaign,
    collect,
    systems,
    doctor,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Boltzmann-weighted conformers of a molecule, from its energy alone.",
)
for command in COMMANDS:
    name = command.__name__.replace("_", "-")
    app.command(name, epilog=f"Example: {EXAMPLES[name]}")(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"boltzgen {__version__}")
        raise typer.Exit


@app.callback()
def _boltzgen(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A group, so that every command has a name."""


def main() -> None:
    """Entry point: one sentence and an exit code for what a person can mend, else a traceback."""
    try:
        with raising_on_signals():
            app()
    except InterruptedRunError as stopped:
        end(stopped, stopped.exit_code, getattr(stopped, "__notes__", ["Nothing of this run was kept."]))
    except InputError as error:
        end(error, EXIT_BAD_INPUT)
    except NotConvergedError as error:
        end(error, EXIT_NOT_CONVERGED)
    except EvaluationError as error:
        end(error, EXIT_FAULT)
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        end(MemoryError(TOO_LITTLE_MEMORY), EXIT_FAULT)
