"""An energy as one file: expressions, parameters and indices, readable wherever torch is installed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from boltzgen.codegen.tables import Table
from boltzgen.energies.bridge.term import BridgeTerm
from boltzgen.energies.calculated import CalculatorTerm
from boltzgen.energies.terms.born import BornTerm
from boltzgen.energies.terms.cluster import ClusterTerm
from boltzgen.energies.terms.term import Term
from boltzgen.errors import InputError
from boltzgen.openmm_xml import without_code

_FORMAT = "boltzgen energy 1"
_KINDS: dict[str, Callable[..., Term]] = {
    kind.kind: kind for kind in (ClusterTerm, BornTerm, BridgeTerm, CalculatorTerm)
}


def write_terms(path: str | os.PathLike[str], n_atoms: int, terms: Iterable[Term]) -> None:
    """Writes the terms whole or not at all."""
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    content = {"format": _FORMAT, "n_atoms": n_atoms, "terms": [term_state(term) for term in terms]}
    torch.save(content, partial)
    os.replace(partial, target)


def read_terms(path: str | os.PathLike[str]) -> tuple[int, list[Term]]:
    """Number of atoms and terms. Raises InputError where the file is not an energy.

    No code of the file's author is run: torch reads tensors, numbers and strings alone, formulas are parsed
    here, and the XML of forces that are left to OpenMM may hold no pickled function.
    """
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} cannot be read as an energy: {_first_line(error)}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path} is not an energy saved by this version ({_FORMAT})")
    try:
        return int(content["n_atoms"]), [term_from_file(state, path) for state in content["terms"]]
    except InputError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {_first_line(error)}"
        raise InputError(f"{path} is a damaged energy ({reason}): save it again") from error


def term_from_file(state: dict[str, Any], path: str | os.PathLike[str]) -> Term:
    """The term that ``state`` of the file ``path`` describes. Raises InputError where it holds code."""
    if state["kind"] == BridgeTerm.kind:
        state = {**state, "xml": without_code(state["xml"], str(path))}
    return term_from_state(state)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def term_state(term: Term) -> dict[str, Any]:
    """A term as numbers, strings and tensors."""
    return {"kind": term.kind, **term.state()}


def term_from_state(state: dict[str, Any]) -> Term:
    """The term that ``term_state`` described."""
    state = dict(state)
    kind = state.pop("kind")
    if "tables" in state:
        state["tables"] = {name: Table(**table) for name, table in state["tables"].items()}
    return _KINDS[kind](**state)
