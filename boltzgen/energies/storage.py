"""An energy as one file: expressions, parameters and indices, readable wherever torch is installed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from boltzgen.energies.born import BornTerm
from boltzgen.energies.bridge import BridgeTerm
from boltzgen.energies.cluster import ClusterTerm
from boltzgen.energies.tables import Table
from boltzgen.energies.term import Term
from boltzgen.errors import InputError

_FORMAT = "boltzgen energy 1"
_KINDS: dict[str, Any] = {kind.kind: kind for kind in (ClusterTerm, BornTerm, BridgeTerm)}


def write_terms(path: str | os.PathLike, n_atoms: int, terms: Iterable[Term]) -> None:
    """Writes the terms whole or not at all."""
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    content = {"format": _FORMAT, "n_atoms": n_atoms, "terms": [term_state(term) for term in terms]}
    torch.save(content, partial)
    os.replace(partial, target)


def read_terms(path: str | os.PathLike) -> tuple[int, list[Term]]:
    """Number of atoms and terms. Raises InputError where the file is not one; no code in it is run."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{path} cannot be read as an energy: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path} is not an energy saved by this version ({_FORMAT})")
    return content["n_atoms"], [term_from_state(state) for state in content["terms"]]


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
