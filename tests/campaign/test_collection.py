"""The table, the page and the conformers of a campaign."""

import csv
import json
import re
import shutil
import subprocess

import pytest
from rdkit import Chem

from boltzgen.campaign.collection import collect_campaign
from boltzgen.campaign.worker import Worker
from boltzgen.report.campaign_page import COLUMNS, campaign_page, drawing
from tests.campaign.test_worker import directly
from tests.campaign.works import campaign, noted

CHROMIUM = shutil.which("chromium")
STATES = ("converged", "not-converged", "failed")


def rows(n):
    return [
        {
            "name": f"m{k}",
            "state": STATES[k % 3],
            "given": "CC(=O)Oc1ccccc1C(=O)O",
            "sentence": "</script><b>bold</b>" if k == 7 else "",
            "folder": f"molecules/m{k}",
            "seconds": float((k * 7919) % n),
        }
        for k in range(n)
    ]


def test_a_campaign_is_collected_before_and_after_its_end(tmp_path):
    folder = campaign(tmp_path / "runs", ["one", "two"])
    collect_campaign(folder)
    for state in ("waiting", "converged"):
        with (folder.path / "campaign.csv").open(newline="") as stream:
            assert [(row["name"], row["state"]) for row in csv.DictReader(stream)] == [
                ("one", state),
                ("two", state),
            ]
        assert f"2 {state}" in (folder.path / "index.html").read_text()
        Worker(folder, work=noted, run=directly).run()
        collect_campaign(folder)


@pytest.mark.parametrize("smiles", ["CC(=O)Oc1ccccc1C(=O)O", "C[NH3+]", "N#CC", "[O-]C=O", "C1CC2CCC1O2"])
def test_a_drawing_has_the_atoms_and_bonds_of_the_molecule(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    places, labels, bonds = drawing(smiles)
    assert len(places) == 2 * molecule.GetNumAtoms()
    found = {frozenset(bonds[k : k + 2]): bonds[k + 2] for k in range(0, len(bonds), 3)}
    assert found == {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())): bond.GetBondTypeAsDouble()
        for bond in molecule.GetBonds()
    }
    shown = {k for k, atom in enumerate(molecule.GetAtoms()) if atom.GetSymbol() != "C"}
    assert set(labels) == shown


def test_what_is_no_molecule_has_no_drawing(capfd):
    assert drawing("C1CC") is None
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def page():
    return campaign_page("runs", rows(10_000))


def test_a_page_of_10000_molecules_is_small_and_its_text_is_text(page):
    assert len(page) < 5e6
    assert "<b>bold" not in page
    data = re.search(r'id="data">(.*?)</script>', page, flags=re.S)
    content = json.loads(data[1])
    assert len(content["rows"]) == 10_000
    assert content["rows"][7][list(COLUMNS).index("sentence")] == "</script><b>bold</b>"


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (scripts/services)")
def test_a_browser_shows_sorts_and_filters(tmp_path, page):
    """50 rows of 10,000 at first; then those that failed, from the longest, of which the oracle knows."""
    table = rows(10_000)
    act = """<script>
    document.getElementById("state").value = "failed";
    document.getElementById("state").onchange();
    const seconds = [...document.querySelectorAll("#head button")].find(b => b.textContent === "seconds");
    seconds.click(); seconds.click();
    </script></body>"""
    for text, n in ((page, 10_000), (page.replace("</body>", act), 3333)):
        (tmp_path / "index.html").write_text(text)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        shown = subprocess.run(
            [CHROMIUM, *arguments, "--dump-dom", f"file://{tmp_path / 'index.html'}"],
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        body = re.search(r'<tbody id="body">(.*?)</tbody>', shown, flags=re.S)[1]
        assert f"{n} molecules, page 1 of {-(-n // 50)}" in shown
        assert body.count("<tr>") == 50
        assert body.count("<svg") == 50
        assert "<b>" not in body
        names = re.findall(r'href="molecules/(m\d+)/report.html"', body)
    failed = sorted((row for row in table if row["state"] == "failed"), key=lambda row: -row["seconds"])
    assert names == [row["name"] for row in failed[:50]]
