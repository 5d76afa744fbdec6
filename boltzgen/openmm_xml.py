"""Serialized OpenMM objects are numbers and formulas, but for one kind: a force that is pickled code."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from boltzgen.errors import InputError

_WITH_CODE = "PythonForce"
_CLASS = re.compile(r"[A-Za-z0-9_]+")


def without_code(xml: str, origin: str) -> str:
    """XML from a file, spelled so that OpenMM reads in it what was checked here.

    Raises InputError where it is no XML and where reading it would run code of its author: OpenMM unpickles
    the function of a PythonForce. The text is written anew from its elements because OpenMM's parser finds
    elements within some comments, where a conforming parser finds none.
    """
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"'{origin}' is not a serialized OpenMM system: {error}.") from error
    for element in root.iter():
        kind = element.get("type")
        if kind == _WITH_CODE:
            raise InputError(
                f"'{origin}' has a {_WITH_CODE}, which runs code that the file brings along: "
                "add this force in a program of your own instead."
            )
        if kind is not None and not _CLASS.fullmatch(kind):
            raise InputError(f"'{origin}' has an object of the type '{kind}', which is no class of OpenMM.")
    return ElementTree.tostring(root, encoding="unicode")
