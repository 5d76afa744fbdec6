"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.errors import InputError
from boltzgen.units import KJ_PER_KCAL

# Written out, since the register of models needs the slow imports; a test compares the two.
MODELS = "flow, flow-likelihood, autoencoder, vae, vae-energy, gan, wgan, wgan-gp, domain-adversarial"


# Groups of options in --help.
ENERGY, MODEL, ENDING, OUTPUT = (
    "Energy and temperature",
    "Model and training",
    "When it ends",
    "Files and output",
)


def named_folder(text: str) -> Path:
    """The folder that ``text`` names; one without a name, or with line breaks in it, is refused."""
    if not text.strip() or not text.isprintable():
        raise typer.BadParameter(f"{text!r} names no folder; give a name of printable characters.")
    return Path(text)


MoleculeArgument = Annotated[
    str, typer.Argument(help="A SMILES, a file, a peptide sequence or a named system.")
]
ForceField = Annotated[
    str | None,
    typer.Option(
        help="Force field or system.xml; by default MMFF94, for peptides ff14SB.", rich_help_panel=ENERGY
    ),
]
Solvent = Annotated[
    str | None,
    typer.Option(
        help="vacuum, water, obc1, obc2, gbn2 or as the force field offers.", rich_help_panel=ENERGY
    ),
]
Temperature = Annotated[float, typer.Option("--temperature", "-T", help="Kelvin.", rich_help_panel=ENERGY)]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ReleaseConstraints = Annotated[
    bool,
    typer.Option(
        "--release-constraints",
        help="Drop the bond constraints of a system.xml.",
        rich_help_panel=ENERGY,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random number.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", parser=named_folder, help="Folder for the run's files.", rich_help_panel=OUTPUT
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the run that was cut short in the folder --out.",
        rich_help_panel=OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print the figures as JSON, and nothing else there.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show warnings but no progress.", rich_help_panel=OUTPUT),
]


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
