"""What a person sees: the terminal shows SMILES as they are, the page holds the figures and the warnings."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from boltzgen.ensemble import Ensemble
from boltzgen.evaluation.conformer_energies import ConformerEnergies
from boltzgen.molecules.molecule import Molecule
from boltzgen.progress import StageProgress
from boltzgen.records.run import read_summary
from boltzgen.report.comparison import Rows, pieces
from boltzgen.report.page import report_page
from boltzgen.report.terminal import ProgressLine, print_energies, print_summary


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
    """Conformers of 3-methylindole with made-up weights, as a run that did not converge would leave them."""
    molecule = Molecule.from_smiles("Cc1c[nH]c2ccccc12")
    seeds = torch.as_tensor(molecule.seed_conformers(2, seed=1)).repeat(100, 1, 1)
    positions = seeds + 0.002 * torch.randn(seeds.shape, generator=torch.Generator().manual_seed(0))
    u = torch.linspace(0, 5, len(positions))
    metadata = {
        "forcefield": "mmff94",
        "solvent": "vacuum",
        "converged": False,
        "warnings": ["only 3 <effective> samples"],
        "main_conformers": [
            {
                "states": "anti",
                "population": 1.0,
                "population_stderr": 0.1,
                "torsions_deg": [180.0],
                "representative_sample": 0,
            }
        ],
        "seed": 0,
        "device": "cpu",
        "n_replaced_walkers": 0,
        "versions": {},
        "model": "flow",
        "density": "exact",
        "trained_on": "the energy",
        "model_figures": {},
        "n_parameters": 10,
        "n_training_steps": 2,
        "training_seconds": 2.0,
        "n_training_processes": 1,
        "n_dropped_samples": 0,
        "n_bad_training_steps": 0,
        "training_reached_plateau": False,
        "symmetry_multiplicity": 1,
        "model_effective_sample_size_fraction": 0.1,
        "missed_frame_share": 0.0,
        "n_energy_evaluations": 1234,
        "effective_samples_per_second": 12.34,
        "replica_exchange_effective_samples_per_second": None,  # as JSON has what is not a number
        "wall_seconds": {"total": 5.0},
        "training_history": {
            "seconds": [1, 2],
            "step": [1, 2],
            "ess_fraction": [0.1, 0.2],
            "reverse_kl": [2, 1],
        },
    }
    return Ensemble.from_samples(molecule, positions.float(), u, -u, 300.0, metadata)


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
    assert page.count("<svg") == 3  # energies, weights, training: indole has no torsion to show
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
    assert "<script" not in page
    assert "&lt;script&gt;" in page
