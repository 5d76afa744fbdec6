"""What a person sees: the terminal shows SMILES as they are, the page holds the figures and the warnings."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.conformer_energies import ConformerEnergies
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import StageProgress
from boltzgen.records.run import read_summary
from boltzgen.report.comparison import Rows, pieces
from boltzgen.report.page import report_page
from boltzgen.report.templates import HERE
from boltzgen.report.terminal import ProgressLine, print_energies, print_summary
from tests.made_up_runs import made_up_run


def test_a_wide_table_is_cut_into_pieces_that_fit():
    columns = ["model", *(f"figure {k}" for k in range(9))]
    whole = Rows("title", columns, [["flow", *map(str, range(9))], ["vae", *map(str, range(10, 19))]])
    parts = pieces(whole, 40)
    assert [part.title for part in parts] == ["title"] + [""] * (len(parts) - 1)
    assert all(
        part.columns[0] == "model" and [row[0] for row in part.rows] == ["flow", "vae"] for part in parts
    )
    assert [c for part in parts for c in part.columns[1:]] == columns[1:]
    assert [cell for part in parts for cell in part.rows[1][1:]] == list(map(str, range(10, 19)))
    assert all(sum(len(c) + 2 for c in part.columns) <= 40 for part in parts)
    assert len(pieces(whole, 200)) == 1


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    """3-methylindole, as a run that did not converge would leave it."""
    return made_up_run(Molecule.from_smiles("Cc1c[nH]c2ccccc12"))


def printed(show) -> str:
    console = Console(file=io.StringIO(), width=100)
    show(console)
    return console.file.getvalue()


def test_brackets_of_a_smiles_survive_the_terminal(ensemble):
    text = printed(lambda console: print_summary(console, read_summary(ensemble.summary()), None))
    assert ensemble.molecule.smiles in text
    assert "[nH]" in text
    assert "did not converge" in text
    assert "12.3 training included" in text
    assert "replica exchange" not in text
    energies = ConformerEnergies(ensemble.molecule, "mmff94", "vacuum", {"bonds": np.ones(3)})
    assert "[nH]" in printed(lambda console: print_energies(console, energies))


def test_the_page_holds_figures_pictures_and_escaped_warnings(ensemble):
    page = report_page(ensemble)
    titles = re.findall(r'data-title="(.+?)"', page)  # indole has no torsion to show
    assert titles == [
        "Main conformers", "Populations", "Potential energy", "Log weights", "Training", "Wall time",
    ]  # fmt: skip
    assert page.count("<svg") == len(titles) + 1  # the formula
    assert "only 3 &lt;effective&gt; samples" in page
    assert "This run did not converge." in page
    assert f"{ensemble.effective_sample_size:.0f} of 200" in page


def test_stages_are_lines_where_there_is_no_terminal():
    console = Console(file=io.StringIO(), width=60)
    with ProgressLine(console, 0.0) as line:
        for fraction in (0.0, 0.5, 1.0):
            line.show(StageProgress("training", fraction, 10.0, "step 3"))
        line.show(StageProgress("sampling"))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 2
    assert "training" in lines[0]
    assert "sampling" in lines[1]


def test_text_that_looks_like_a_script_is_shown_and_not_run(ensemble):
    script = "<script>alert(1)</script>"
    molecule = Molecule(ensemble.molecule.rdmol, script)
    metadata = dict(ensemble.metadata) | {"forcefield": script, "warnings": [script]}
    page = report_page(replace(ensemble, molecule=molecule, metadata=metadata))
    assert script not in page
    assert "&lt;script&gt;" in page


def test_scripts_of_the_page_cannot_end_early():
    for script in (HERE / "static").glob("*.js"):
        assert "</script" not in script.read_text(encoding="utf-8").lower()


@pytest.mark.parametrize("smiles", ["[He]", "[H][H]", "C#C", "[NH4+]", "CCCCCCCCCCCC"])
def test_molecules_without_and_with_many_torsions_have_a_page(smiles):
    page = report_page(made_up_run(Molecule.from_smiles(smiles), converged=True), "boltzgen sample it")
    assert "Converged: 200 samples" in page
    assert "boltzgen sample it" in page
    assert len(page) < 3_000_000


def test_every_figure_of_the_page_has_a_description_and_identifiers_of_its_own():
    page = report_page(made_up_run(Molecule.from_sequence("ACE-ALA-NME"), converged=True))
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    figures = re.findall(r"<svg [^>]*>", page)
    assert all('role="img" aria-label="' in figure for figure in figures)
    assert {"Ramachandran plots", "Distributions"} <= set(re.findall(r'data-title="(.+?)"', page))
