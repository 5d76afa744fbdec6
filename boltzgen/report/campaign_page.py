"""index.html of a campaign: every molecule in one table on a page that needs nothing else.

The rows are compact JSON, of which JavaScript shows, sorts and filters a page at a time, so that 10,000
molecules stay usable. A molecule's picture is made from plane coordinates, a few hundred bytes each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from boltzgen.units import KJ_PER_KCAL

TEMPLATE = Path(__file__).parent / "templates" / "campaign.html"
UNITS_PER_ANGSTROM = 20  # of the pictures
COLUMNS = {
    "name": "name",
    "state": "state",
    "n_atoms": "atoms",
    "effective_sample_size": "effective samples",
    "effective_sample_size_fraction": "share",
    "pareto_k": "Pareto-k",
    "free_energy_kcal_mol": "free energy, kcal/mol",
    "main_conformer.states": "main conformer",
    "main_conformer.population": "its population",
    "seconds": "seconds",
    "sentence": "sentence",
    "given": "SMILES",
    "folder": "folder",
    "drawing": "drawing",
}
HYDROGENS = ("", "H", "H₂", "H₃", "H₄")
Drawing = tuple[list[int], dict[int, str], list[int]]


def campaign_page(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page of a campaign whose table has ``rows``, as HTML text."""
    content = {
        "columns": list(COLUMNS),
        "titles": list(COLUMNS.values()),
        "rows": [[_value(row, name) for name in COLUMNS] for row in rows],
    }
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    counts = Counter(row["state"] for row in rows)
    return Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True).render(
        title=title,
        counts=", ".join(f"{n} {state}" for state, n in counts.most_common()),
        data=Markup(data),
    )


def _value(row: Mapping[str, Any], name: str) -> Any:
    """What a column shows of a row, numbers to five digits; None where there is nothing."""
    if name == "drawing":
        return drawing(row["given"])
    if name == "free_energy_kcal_mol":
        energy = row.get("free_energy_kJ_mol")
        value: Any = None if energy is None else energy / KJ_PER_KCAL
    else:
        value = row.get(name)
    if isinstance(value, float):
        return float(f"{value:.5g}") if abs(value) < float("inf") else None
    return value


def drawing(smiles: str) -> Drawing | None:
    """Plane coordinates of the atoms, symbols of those that are not carbon, and bonds with their orders.

    None where the text is no molecule.

    >>> drawing("CN")
    ([-15, 0, 15, 0], {1: 'NH₂'}, [0, 1, 1])
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        return None
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    rdDepictor.Compute2DCoords(molecule)
    plane = molecule.GetConformer().GetPositions()[:, :2]
    labels = {}
    for atom in molecule.GetAtoms():
        charge = atom.GetFormalCharge()
        if atom.GetSymbol() != "C" or charge:
            sign = ("+" if charge > 0 else "−") * abs(charge)
            labels[atom.GetIdx()] = f"{atom.GetSymbol()}{HYDROGENS[atom.GetTotalNumHs()]}{sign}"
    bonds = []
    for bond in molecule.GetBonds():
        bonds += [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondTypeAsDouble())]
    return (UNITS_PER_ANGSTROM * plane).round().astype(int).ravel().tolist(), labels, bonds
