"""The molecules of a list: lines "SMILES name" of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from boltzgen.errors import InputError
from boltzgen.files.given import read_text
from boltzgen.records.campaign import Entry

MOST_MEGABYTES = 1000.0
MOST_NAME = 80  # characters
CHUNK = 64  # lines that a process reads at a time
Stereo = Literal["refuse", "enumerate"]


@dataclass(frozen=True)
class Line:
    """A line of the file: its number, the SMILES, and the name, "" where it has none."""

    number: int
    smiles: str
    name: str


@dataclass(frozen=True)
class Isomer:
    """A molecule that a line stands for."""

    smiles: str
    canonical: str
    n_atoms: int


@dataclass(frozen=True)
class Reading:
    """What a line stands for: its isomers, of which there are several for open stereo, or a problem."""

    isomers: tuple[Isomer, ...] = ()
    problem: str = ""


def read_list(
    path: Path,
    stereo: Stereo = "refuse",
    processes: int = 1,
    report: Callable[[float], None] = lambda fraction: None,
) -> list[Entry]:
    """The molecules of the file ``path``.

    Names are made unique and fit for folders: a molecule without a name is called by its line, and of two
    of one name the second gets a number. Lines that cannot be used, and molecules that an earlier line has,
    are entries too, which say so. Charges and tautomers are those that are written.

    Parameters
    ----------
    path
        A SMILES and, after white space, a name on each line; # begins a comment, and a first line that
        begins with "smiles" is a heading.
    stereo
        Whether a molecule whose stereo is open is refused, or each of its stereoisomers taken.
    processes
        How many read at once.
    report
        Is told the fraction that is read.

    Raises
    ------
    InputError
        Where the file cannot be read, or has no line.
    """
    lines = parse_lines(read_text(path, MOST_MEGABYTES))
    if not lines:
        raise InputError(f"'{path}' names no molecule: write a SMILES and a name on each line.")
    entries: list[Entry] = []
    names: set[str] = set()
    first_of: dict[str, str] = {}
    for done, (line, reading) in enumerate(zip(lines, _readings(lines, stereo, processes), strict=True), 1):
        label = folder_name(line.name) or f"line-{line.number}"
        for number, isomer in enumerate(reading.isomers or (Isomer(line.smiles, "", 0),), 1):
            name = _unused(f"{label}-{number}" if len(reading.isomers) > 1 else label, names)
            names.add(name.casefold())
            same_as = first_of.setdefault(isomer.canonical, name) if isomer.canonical else name
            entries.append(
                Entry(
                    name=name,
                    smiles=isomer.smiles,
                    line=line.number,
                    canonical=isomer.canonical,
                    n_atoms=isomer.n_atoms,
                    problem=reading.problem,
                    same_as="" if same_as == name else same_as,
                )
            )
        if done % CHUNK == 0:
            report(done / len(lines))
    return entries


def parse_lines(text: str) -> list[Line]:
    """The lines of a list; an extension of a SMILES, |...|, belongs to it.

    >>> parse_lines("CCO ethanol\\nC[C@H](F)Cl |a:1| one of two # of them\\n\\n# a comment\\nC")
    ... # doctest: +NORMALIZE_WHITESPACE
    [Line(number=1, smiles='CCO', name='ethanol'),
     Line(number=2, smiles='C[C@H](F)Cl |a:1|', name='one of two # of them'),
     Line(number=5, smiles='C', name='')]
    """
    lines: list[Line] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        found = re.match(r"\s*(?P<smiles>[^#\s]\S*(?:\s+\|[^|]*\|)?)(?:\s+(?P<name>.*))?$", line)
        if found is None or (not lines and found["smiles"].lower() == "smiles"):
            continue
        lines.append(Line(number, found["smiles"], (found["name"] or "").strip()))
    return lines


def folder_name(name: str) -> str:
    """``name`` as the name of a folder: other characters than letters, digits and . + - _ become "_".

    >>> folder_name("(S)-ibuprofen / 2nd batch")
    'S_-ibuprofen_2nd_batch'
    """
    return re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip("._-+")[:MOST_NAME]


def _unused(name: str, names: set[str]) -> str:
    """``name``, with a number where there is such a one already; upper and lower case are the same."""
    unused, copy = name, 2
    while unused.casefold() in names:
        unused, copy = f"{name}-{copy}", copy + 1
    return unused


def _readings(lines: Sequence[Line], stereo: Stereo, processes: int) -> Iterator[Reading]:
    work: list[tuple[str, Stereo]] = [(line.smiles, stereo) for line in lines]
    if processes == 1 or len(lines) < 2 * CHUNK:
        yield from map(_reading, work)
        return
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "rdkit.Chem", "boltzgen.molecules.reading"])
    with context.Pool(processes) as pool:
        yield from pool.imap(_reading, work, CHUNK)


def _reading(line: tuple[str, Stereo]) -> Reading:
    """What one SMILES stands for; every reason against it ends in a sentence, as the others are to go on."""
    from boltzgen.molecules.isomers import stereoisomers
    from boltzgen.molecules.reading import read_smiles, with_hydrogens
    from boltzgen.molecules.smiles import parsed_smiles, shown
    from boltzgen.molecules.stereo import canonical_smiles

    smiles, stereo = line

    def isomer(rdmol: Any, text: str) -> Isomer:
        return Isomer(text, canonical_smiles(rdmol), rdmol.GetNumAtoms())

    try:
        if stereo == "refuse":
            return Reading((isomer(read_smiles(smiles), smiles),))
        isomers = stereoisomers(with_hydrogens(parsed_smiles(smiles), f"SMILES '{shown(smiles)}'"))
        if not isomers:
            return Reading(problem=f"SMILES '{shown(smiles)}' has no stereoisomer that fits into 3D.")
        if len(isomers) == 1:
            return Reading((isomer(isomers[0], smiles),))
        return Reading(tuple(isomer(one, canonical_smiles(one)) for one in isomers))
    except InputError as error:
        return Reading(problem=str(error))
    except Exception as error:  # of RDKit, for one line of many
        return Reading(problem=f"SMILES '{shown(smiles)}' cannot be used: {type(error).__name__}: {error}")
