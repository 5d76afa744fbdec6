"""The text of a SMILES: RDKit's reading of it, and what is refused because the molecule would not keep it."""

from __future__ import annotations

import re
from typing import Any

from rdkit import Chem, rdBase

from boltzgen.errors import InputError

MOST_CHARACTERS = 10_000
MOST_SHOWN = 300

# Fields of a CXSMILES extension, by their first characters, and what they stand for. Longer names come first.
_REFUSED_FIELDS = {
    "(": "coordinates",
    "$": "atom labels",
    "^": "unpaired electrons",
    "&": "a mixture of stereoisomers",
    "o": "one of several stereoisomers",
    "ctu": "double bonds of unknown side",
    "w": "wedged bonds",
    "r": "relative stereo",
    "C": "coordinate bonds",
    "H": "hydrogen bonds",
    "m": "variable attachment",
    "Sg": "polymers",
    "LN": "repeating units",
    "lp": "lone pairs",
    "atomProp": "atom properties",
}
# Absolute stereo (a), and the sides of double bonds in rings (c, t), which RDKit takes over.
_HONOURED_FIELD = re.compile(r"(?:a|c|t):\d+(?:,\d+)*")


def parsed_smiles(smiles: str) -> Chem.Mol:
    """RDKit's reading of ``smiles``, white space around it removed.

    A CXSMILES extension may follow it, of which the fields ``a``, ``c`` and ``t`` are honoured.

    Raises
    ------
    InputError
        With RDKit's reason where it cannot be parsed; for text after white space, which RDKit would ignore,
        and for other fields of an extension.
    """
    smiles = smiles.strip()
    if len(smiles) > MOST_CHARACTERS:
        raise InputError(
            f"A SMILES of {len(smiles)} characters is too long: give one of at most {MOST_CHARACTERS}."
        )
    what = f"SMILES '{shown(smiles)}'"
    _require_no_more_text(smiles, what)
    parameters: Any = Chem.SmilesParserParams()  # RDKit's type stubs call its settings constants
    parameters.parseName = False
    with rdBase.BlockLogs():
        parameters.sanitize = False
        parameters.removeHs = False
        loose = Chem.MolFromSmiles(smiles, parameters)
        if loose is None or loose.GetNumAtoms() == 0:
            raise InputError(
                f"'{shown(smiles)}' is not a SMILES that RDKit can parse: check its spelling"
                " (names of molecules are not looked up)."
            )
        require_sane(loose, what)
        parameters.sanitize = True
        parameters.removeHs = True
        return Chem.MolFromSmiles(smiles, parameters)


def require_sane(loose: Chem.Mol, what: str) -> None:
    """InputError with RDKit's first reason why the unsanitised molecule ``loose`` is none."""
    problems = Chem.DetectChemistryProblems(loose)
    if problems:
        raise InputError(f"{what} is not a possible molecule: {problems[0].Message().rstrip('.')}.")


def shown(text: str) -> str:
    """``text`` for a message: on one line, cut where it is long."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line if len(line) <= MOST_SHOWN else line[:MOST_SHOWN] + "..."


def _require_no_more_text(smiles: str, what: str) -> None:
    body, *rest = smiles.split(maxsplit=1)[:2] or [""]
    if not rest:
        return
    extension = re.fullmatch(r"\|([^|]*)\|", rest[0])
    if extension is None:
        raise InputError(
            f"{what} has '{shown(rest[0])}' after white space, which would be ignored: give the SMILES alone."
        )
    for field in _fields(extension[1]):
        if _HONOURED_FIELD.fullmatch(field):
            continue
        meaning = next((text for key, text in _REFUSED_FIELDS.items() if field.startswith(key)), "unknown")
        raise InputError(
            f"{what} has the extension '{shown(field)}' ({meaning}), which is not honoured: give the SMILES"
            f" of one molecule without it, like '{shown(body)}'."
        )


def _fields(extension: str) -> list[str]:
    """The fields of a CXSMILES extension: split at commas that no number follows, or none in brackets."""
    parts = re.findall(r"\([^)]*\)?|\$[^$]*\$?|[^,]+", extension)
    fields: list[str] = []
    for part in parts:
        if part[0].isdigit() and fields:
            fields[-1] += f",{part}"
        else:
            fields.append(part)
    return fields
