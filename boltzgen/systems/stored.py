"""A molecule or a system of a program in a file, so that a run of it can be repeated and resumed."""

from __future__ import annotations

from pathlib import Path

import openmm

from boltzgen.errors import InputError
from boltzgen.files.given import read_text
from boltzgen.files.whole import json_text, read_json, write_whole
from boltzgen.molecules.molecule import Molecule
from boltzgen.systems.system import MolecularSystem

STORED_SUFFIX = ".json"
MOST_MEGABYTES = 50.0


def stored_text(given: Molecule | MolecularSystem) -> str:
    """``given`` as JSON, which ``read_stored`` reads back to the last digit."""
    if isinstance(given, Molecule):
        return json_text({"molecule": given.to_json()})
    return json_text(given.to_text())


def write_stored(given: Molecule | MolecularSystem, path: Path) -> None:
    """Write ``given`` to ``path``, whole or not at all. Raises OSError where the disk does."""
    text = stored_text(given)
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def read_stored(path: str | Path) -> Molecule | MolecularSystem:
    """The molecule or the system that ``write_stored`` wrote.

    Raises InputError where the file is missing, damaged, or holds a force that is code.
    """
    read_text(path, MOST_MEGABYTES)  # told in one sentence where there is none, or it is too large
    content = read_json(Path(path))
    try:
        if "system" in content:
            return MolecularSystem.from_text(content)
        return Molecule.from_json(content["molecule"])
    except InputError:
        raise
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        RuntimeError,  # RDKit's
        openmm.OpenMMException,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"'{path}' holds no molecule or system of boltzgen ({reason}): give the input.json of a run."
        ) from error
