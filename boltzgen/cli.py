"""The command line: parse, call a workflow, print. Nothing is computed here."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from boltzgen import __version__
from boltzgen.errors import EvaluationError, InputError, NotConvergedError
from boltzgen.interruption import InterruptedRunError, raising_on_signals
from boltzgen.memory import is_shortage
from boltzgen.progress import Stopwatch
from boltzgen.report.terminal import ProgressLine, print_energies, print_plan, print_summary, print_systems
from boltzgen.units import KJ_PER_KCAL

if TYPE_CHECKING:
    from boltzgen.workflows.config import SampleConfig

# Taken before the slow imports, so that start-up counts against a run's time budget.
STARTED = time.monotonic()

EXIT_FAULT, EXIT_BAD_INPUT, EXIT_NOT_CONVERGED = 1, 2, 3

# Written out, since the register of models needs the slow imports; a test compares the two.
MODELS = "flow, flow-likelihood, autoencoder, vae, vae-energy, gan, wgan, wgan-gp, domain-adversarial"

TOO_LITTLE_MEMORY = (
    "there is too little memory for this run: give fewer samples (-n) or use a machine with more"
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Boltzmann-weighted conformers of a molecule, from its energy alone.",
)
errors = Console(stderr=True)


def named_folder(text: str) -> Path:
    """The folder that ``text`` names; one without a name, or with line breaks in it, is refused."""
    if not text.strip() or not text.isprintable():
        raise typer.BadParameter(f"{text!r} names no folder; give a name of printable characters.")
    return Path(text)


ForceField = Annotated[
    str | None, typer.Option(help="Force field or system.xml; by default MMFF94, for peptides ff14SB.")
]
Solvent = Annotated[
    str | None, typer.Option(help="vacuum, water, obc1, obc2, gbn2 or as the force field offers.")
]
Temperature = Annotated[float, typer.Option("--temperature", "-T", help="Kelvin.")]
ReleaseConstraints = Annotated[
    bool, typer.Option("--release-constraints", help="Drop the bond constraints of a system.xml.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", parser=named_folder, help="Folder for the run's files.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that was cut short in the folder --out.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON, and nothing else there.")]


def parse_duration(text: str) -> float:
    """Seconds of '90', '90s', '5m' or '1.5h'."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([smh]?)\s*", text)
    if not match or float(match[1]) <= 0:
        raise InputError(f"'{text}' is not a duration; write one like 90s, 5m or 1.5h.")
    return float(match[1]) * {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def parse_energy(text: str) -> float:
    """kcal/mol of '0.02', '0.02kcal' or '0.1kJ'."""
    match = re.fullmatch(r"\s*(\d*\.?\d+)\s*(kcal|kJ)?(?:/mol)?\s*", text)
    if not match or float(match[1]) <= 0:
        raise InputError(f"'{text}' is not an energy; write one like 0.02kcal or 0.1kJ.")
    return float(match[1]) / (KJ_PER_KCAL if match[2] == "kJ" else 1.0)


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


@app.command()
def sample(
    molecule: Annotated[str, typer.Argument(help="A SMILES, a file, a peptide sequence or a named system.")],
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations to generate.")] = 10_000,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    budget: Annotated[
        str | None, typer.Option(help="Time for the whole run, like 90s or 5m; by default from the size.")
    ] = None,
    effective: Annotated[
        int | None,
        typer.Option(min=1, help="Effective samples to reach within the budget; by default half of -n."),
    ] = None,
    error_free_energy: Annotated[
        str | None,
        typer.Option(help="Standard error of the free energy to reach within the budget, like 0.02kcal."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps instead of a time: the run then repeats to the bit."),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="auto, guided, reverse-kl, mass-covering, annealed, walkers or likelihood."),
    ] = None,
    model: Annotated[str, typer.Option(help=f"Generative model: {MODELS}.")] = "flow",
    reference: Annotated[
        Path | None, typer.Option(help="Folder of an ensemble for a model that learns from frames.")
    ] = None,
    refine: Annotated[
        str, typer.Option(help="auto or off: better poor samples of a flow in the time that is left.")
    ] = "auto",
    release_constraints: ReleaseConstraints = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Any other setting of config.toml, like frames.ladders=64."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sampled, and about how long it takes.")
    ] = False,
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Train a model on the molecule's energy, sample it, weigh the samples, report."""
    with ProgressLine(Console(stderr=True), STARTED) as line:
        from boltzgen.workflows.config import assignment, sample_config

        given = {
            "molecule": molecule,
            "n": samples,
            "temperature": temperature,
            "forcefield": forcefield,
            "solvent": solvent,
            "device": device,
            "seed": seed,
            "budget": None if budget is None else parse_duration(budget),
            "effective": effective,
            "free_energy_error": None if error_free_energy is None else parse_energy(error_free_energy),
            "max_steps": steps,
            "model": model,
            "reference": reference,
            "release_constraints": release_constraints,
            "objective": objective,
            "refine": refine,
        }
        config = sample_config(given | dict(assignment(text) for text in settings or ()))
        if dry_run:
            from boltzgen.workflows.plan import plan

            planned = plan(config, Stopwatch(line.show, STARTED))
        else:
            summary = _run(config, out, line, resume)
    if not dry_run:
        _finish(summary, out, as_json)
    elif as_json:
        typer.echo(planned.model_dump_json(indent=2))
    else:
        print_plan(Console(), planned)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A TOML file like the config.toml of a run's folder.")],
    out: Out = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """The same as sample, from a file."""
    with ProgressLine(Console(stderr=True), STARTED) as line:
        from boltzgen.workflows.config import read_config

        summary = _run(read_config(config), out, line, resume)
    _finish(summary, out, as_json)


@app.command()
def energy(
    molecule: Annotated[str, typer.Argument(help="A SMILES, a file, a peptide sequence or a named system.")],
    positions: Annotated[Path, typer.Argument(help="Conformers: .sdf, .npz, .pdb, .dcd, ...")],
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    as_json: Json = False,
) -> None:
    """Energies of given conformers, force by force."""
    from boltzgen.files.whole import json_text
    from boltzgen.workflows.energy import conformer_energies

    energies = conformer_energies(molecule, positions, forcefield, solvent, release_constraints)
    if as_json:
        found = {
            "molecule": energies.molecule.smiles,
            "forcefield": energies.forcefield,
            "solvent": energies.solvent,
            "terms_kJ_mol": energies.terms,
            "energy_kJ_mol": energies.total,
        }
        typer.echo(json_text(found), nl=False)
    else:
        print_energies(Console(), energies)


@app.command()
def reference(
    molecule: Annotated[str, typer.Argument(help="A SMILES, a file, a peptide sequence or a named system.")],
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    hottest: Annotated[float, typer.Option(help="Highest temperature of a ladder, kelvin.")] = 900.0,
    ladders: Annotated[int, typer.Option(min=2, help="Independent ladders.")] = 32,
    picoseconds: Annotated[float, typer.Option(help="Length of the run on every rung.")] = 400.0,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Reference ensemble by replica exchange on the compiled energy."""
    with ProgressLine(Console(stderr=True), STARTED) as line:
        from boltzgen.ensemble_folder import require_free_folder
        from boltzgen.files.lock import FolderLock
        from boltzgen.settings import validated
        from boltzgen.systems import load_system
        from boltzgen.workflows.reference import ReferenceConfig, reference_ensemble

        if out is not None:
            require_free_folder(out)
        system = load_system(molecule, forcefield, solvent, release_constraints)
        config = validated(
            ReferenceConfig,
            temperature=temperature,
            hottest=hottest,
            ladders=ladders,
            picoseconds=picoseconds,
            seed=seed,
        )
        with nullcontext() if out is None else FolderLock(out):
            found = reference_ensemble(system, config, line.show)
            if out is not None:
                found.ensemble.save(out)
    _finish(found.ensemble.summary(), out, as_json)


@app.command()
def compare(
    system: Annotated[str, typer.Argument(help="A SMILES, a file, a peptide sequence or a named system.")],
    models: Annotated[
        str | None, typer.Option(help=f"Names with commas between them, by default all: {MODELS}.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Training time of each model, like 90s or 5m; by default from the size."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Folder of a reference ensemble; by default one is made.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", "-n", help="Conformations of each model.")] = 10_000,
    temperature: Temperature = 300.0,
    forcefield: ForceField = None,
    solvent: Solvent = None,
    release_constraints: ReleaseConstraints = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train every kind of model on one molecule, and measure all of them against one reference."""
    with ProgressLine(Console(stderr=True), STARTED) as line:
        from boltzgen.report.comparison import print_comparison
        from boltzgen.settings import validated
        from boltzgen.workflows.compare import CompareConfig, run_compare

        config = validated(
            CompareConfig,
            molecule=system,
            models=() if models is None else tuple(name.strip() for name in models.split(",")),
            n_samples=samples,
            temperature=temperature,
            forcefield=forcefield,
            solvent=solvent,
            release_constraints=release_constraints,
            device=device,
            seed=seed,
            budget_seconds=None if budget is None else parse_duration(budget),
            reference=reference,
        )
        summary = run_compare(config, out, Stopwatch(line.show, STARTED)).summary()
    if as_json:
        typer.echo(summary.to_json(), nl=False)
    else:
        print_comparison(Console(), summary, out)


@app.command()
def systems() -> None:
    """The molecular systems known by name."""
    from boltzgen.systems import describe_system, system_names

    print_systems(Console(), {name: describe_system(name) for name in system_names()})


def _run(config: SampleConfig, out: Path | None, line: ProgressLine, resume: bool) -> dict[str, Any]:
    if resume and out is None:
        raise InputError("--resume goes on with a run in a folder: name it with --out.")
    from boltzgen.workflows.run_folder import can_go_on, is_finished
    from boltzgen.workflows.sample import run_sample

    finished = resume and out is not None and is_finished(out)
    watch = Stopwatch(line.show, STARTED)
    watch.seconds["start-up"] = watch.elapsed
    try:
        summary = run_sample(config, out, watch=watch, resume=resume).summary()
    except InterruptedRunError as stopped:
        if out is not None and can_go_on(out):
            command = shlex.join(["boltzgen", *sys.argv[1:], *([] if resume else ["--resume"])])
            stopped.add_note(f"This goes on where it was: {command}")
        raise
    if finished:
        errors.print(f"{out} holds a finished run; its figures:", markup=False, soft_wrap=True)
    return summary


def _finish(summary: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Print ``summary``, and end with exit code 3 if the run did not converge."""
    from boltzgen.ensemble_folder import SUMMARY
    from boltzgen.files.whole import json_text
    from boltzgen.records.run import read_summary

    record = read_summary(summary)
    if as_json:
        typer.echo(json_text(summary), nl=False)
    else:
        # Where the disk was full, a warning has said where the files are.
        print_summary(Console(), record, out if out is not None and (out / SUMMARY).exists() else None)
    if not record.converged:
        raise typer.Exit(EXIT_NOT_CONVERGED)


def main() -> None:
    """Entry point: one sentence and an exit code for what a person can mend, else a traceback."""
    try:
        with raising_on_signals():
            app()
    except InterruptedRunError as stopped:
        _end(stopped, stopped.exit_code, getattr(stopped, "__notes__", ["Nothing of this run was kept."]))
    except InputError as error:
        _end(error, EXIT_BAD_INPUT)
    except NotConvergedError as error:
        _end(error, EXIT_NOT_CONVERGED)
    except EvaluationError as error:
        _end(error, EXIT_FAULT)
    except (MemoryError, OSError, RuntimeError, ImportError) as error:
        if not is_shortage(error):
            raise
        _end(MemoryError(TOO_LITTLE_MEMORY), EXIT_FAULT)


def _end(error: BaseException, code: int, notes: Sequence[str] = ()) -> NoReturn:
    text = ". ".join([f"boltzgen: {error}", *notes]).replace("\n", "\\n")  # of a file's name
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(code) from None
