"""A comparison on a small molecule: its rows, its files, what it refuses, and a model that fails."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from boltzgen.cli import app, main
from boltzgen.ensemble import Ensemble
from boltzgen.errors import EvaluationError, InputError
from boltzgen.evaluation.results import ModelResult
from boltzgen.models.flow import FlowConfig
from boltzgen.records.comparison import ComparisonSummary
from boltzgen.report.comparison import comparison_tables, print_comparison
from boltzgen.sampling.frames import FramesConfig
from boltzgen.settings import validated
from boltzgen.systems import load_system
from boltzgen.training import families
from boltzgen.training.config import TrainingConfig
from boltzgen.workflows import compared_models
from boltzgen.workflows.compare import run_compare
from boltzgen.workflows.comparison_entries import CompareConfig, comparison_entries
from boltzgen.workflows.hot_frames import hot_frames
from boltzgen.workflows.reference_parts import reference_parts, thinned

SMALL = FlowConfig(torsion_couplings=2, torsion_hidden=16, stiff_couplings=2, stiff_hidden=32).model_dump()
SHORT = {
    "n_samples": 400,
    "reference_picoseconds": 10.0,
    "frames": FramesConfig(ladders=16, picoseconds=2.0, walkers=64, local_picoseconds=2.0),
    "training": TrainingConfig(max_steps=100, batch_size=256),
    "model_settings": {"flow": SMALL, "flow-likelihood": SMALL},
}


def diverging(model, materials, config):
    raise EvaluationError("training diverged: 50 gradients in a row were not finite")


@pytest.fixture(scope="module")
def ethanol(tmp_path_factory):
    """Two flows and one model whose training fails."""
    folder = tmp_path_factory.mktemp("compare") / "ethanol"
    broken = replace(families.FAMILIES["flow"], stages=diverging)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(families.FAMILIES, "broken", broken)
        config = CompareConfig(molecule="CCO", models=("flow", "broken", "flow-likelihood"), **SHORT)
        return run_compare(config, folder), folder


def test_every_model_has_its_row_whatever_happens_to_another(ethanol):
    found, _ = ethanol
    assert [result.label for result in found.results] == ["flow", "broken", "flow-likelihood"]
    assert found.results[1].failure == "training diverged: 50 gradients in a row were not finite"
    assert found.results[1].generated is None
    assert set(found.samples) == {"flow", "flow-likelihood"}
    for result in (found.results[0], found.results[2]):
        assert result.failure is None
        assert result.generated.n_samples == 400
        assert set(result.generated.torsions) == {"C1–C2–O3–H9"}
        assert result.weights.log_z.value == pytest.approx(found.results[0].weights.log_z.value, abs=0.5)
        assert result.cost.n_steps == 100


def test_training_brings_the_flow_closer(ethanol):
    flow = ethanol[0].results[0]
    for name in ("mmd_squared", "classifier_balanced_accuracy"):
        assert flow.generated.figures[name].value < flow.untrained.figures[name].value, name
    # The energies of untrained samples are as close already as so short a reference can tell.
    after, before = (figures["w1_energy_kT"] for figures in (flow.generated.figures, flow.untrained.figures))
    assert after.value < before.value + math.hypot(after.stderr, before.stderr)


def test_costs_count_what_each_model_has_seen(ethanol):
    found, _ = ethanol
    flow, likelihood = (found.results[i].cost for i in (0, 2))
    shared = found.facts.n_energy_evaluations_shared
    reference = found.facts.reference
    assert flow.n_energy_evaluations > shared
    assert likelihood.n_energy_evaluations == shared + reference.n_energy_evaluations // 2
    assert likelihood.n_frames == reference.n_frames_to_learn_from == reference.n_frames // 2
    assert reference.divided == "by ladder: every fourth of 32"


def test_energy_trained_models_are_not_asked_for_copies(ethanol):
    found, _ = ethanol
    assert found.results[0].generated.copied is None
    assert abs(found.results[2].generated.copied.value - 0.5) < 0.3


def test_files_hold_the_figures_and_the_pictures(ethanol):
    found, folder = ethanol
    stored = json.loads((folder / "comparison.json").read_text())
    assert stored == json.loads(found.summary().to_json())
    assert stored["molecule"] == "CCO"
    assert stored["temperature_K"] == 300.0
    flow = stored["models"][0]
    for name in (
        "ks_worst_torsion", "ks_energy", "kl_worst_torsion", "js_worst_torsion", "w1_torsions_rad",
        "w2_torsions_rad", "w1_energy_kT", "w2_energy_kT", "w1_distances_nm", "w2_distances_nm",
        "mmd_squared", "classifier_balanced_accuracy",
    ):  # fmt: skip
        assert set(flow["generated"][name]) == {"value", "stderr", "null", "null_stderr"}, name
        assert flow["generated"][name]["null"] is not None
    assert set(flow["weights"]) >= {"effective_sample_size", "pareto_k", "log_Z", "log_Z_stderr"}
    assert flow["reweighted"]["conformers"] == flow["generated"]["conformers"]
    assert {"statement", "holds", "evidence"} == set(stored["claims"][0])
    assert len(stored["warnings"]) == (stored["reference"]["converged"] is False)
    page = (folder / "comparison.html").read_text()
    assert page.count("<svg") == 3  # the formula, torsions and energies
    assert "broken failed: training diverged" in page
    for table in comparison_tables(validated(ComparisonSummary, **stored)):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_a_folder_in_use_is_refused_before_anything_is_computed(ethanol):
    _, folder = ethanol
    with pytest.raises(InputError, match="already holds a run"):
        run_compare(CompareConfig(molecule="CCO", models=("flow",), **SHORT), folder)


def test_models_are_those_of_the_register():
    labels = [one.family for one in comparison_entries(CompareConfig(molecule="CCO"))]
    assert set(labels) == set(families.FAMILIES)
    with pytest.raises(InputError, match="Model 'gann' is not known; give one of flow"):
        comparison_entries(CompareConfig(molecule="CCO", models=("flow", "gann")))
    with pytest.raises(InputError, match="named twice"):
        comparison_entries(CompareConfig(molecule="CCO", models=("flow", "flow")))


def test_few_frames_of_one_temperature_with_many_of_another_against_few_alone():
    entered = comparison_entries(
        CompareConfig(molecule="CCO", models=("domain-adversarial",), few_frames=300)
    )
    assert [(one.label, one.family, one.n_frames) for one in entered] == [
        ("domain-adversarial", "domain-adversarial", 300),
        ("domain-adversarial, no adversary", "domain-adversarial", 300),
        ("vae, 300 frames", "vae", 300),
    ]
    assert entered[1].settings == {"adversary": False}


def test_a_second_domain_is_made_once_and_counted(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(compared_models, "hot_frames", lambda *a: made.append(0) or hot_frames(*a))
    short = SHORT | {"training": TrainingConfig(max_steps=4, batch_size=32)}
    found = run_compare(CompareConfig(molecule="CCO", models=("domain-adversarial",), **short))
    assert len(made) == 1
    first, second, alone = found.results
    assert [one.failure for one in found.results] == [None, None, None]
    assert first.cost.n_frames == alone.cost.n_frames == 200
    assert first.cost.n_energy_evaluations == second.cost.n_energy_evaluations
    assert second.cost.n_energy_evaluations > alone.cost.n_energy_evaluations
    assert "domain_balanced_accuracy" in first.figures
    assert [c for c in found.claims if c.statement.startswith("domain-adversarial is closer")]


def saved_reference(folder, smiles="CCO", temperature=300.0, n=1000, **facts):
    system = load_system(smiles)
    seeds = system.molecule.seed_conformers(4, seed=0)
    positions = torch.as_tensor(np.tile(seeds, (-(-n // len(seeds)), 1, 1))[:n]).float()
    metadata = {
        "forcefield": system.forcefield, "solvent": system.solvent, "converged": True, "warnings": [],
        "n_energy_evaluations": 10, "wall_seconds": {"total": 1.0},
    } | facts  # fmt: skip
    Ensemble.from_frames(system.molecule, positions, torch.zeros(n), temperature, n, metadata).save(folder)
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"smiles": "CCN"}, "is a reference of 'CCN', not of 'CCO'"),
        ({"temperature": 310.0}, "is a reference at 310 K, not at 300 K"),
        ({"forcefield": "gaff-2.11"}, "forcefield 'gaff-2.11'"),
        ({"n": 400}, "not enough frames: a quarter of the reference holds 100"),
    ],
)
def test_references_that_cannot_serve_are_refused_by_name(tmp_path, changes, words):
    reference = saved_reference(tmp_path / "reference", **changes)
    with pytest.raises(InputError, match=words):
        run_compare(CompareConfig(molecule="CCO", models=("flow",), reference=reference, **SHORT))


def test_a_reference_that_did_not_converge_is_warned_of(tmp_path, monkeypatch):
    failed = ModelResult("flow", "flow", "energy", "none", failure="left out")
    monkeypatch.setattr("boltzgen.workflows.compare.compared_model", lambda *a: failed)
    reference = saved_reference(tmp_path / "reference", converged=False)
    config = CompareConfig(molecule="CCO", models=("flow",), reference=reference, **SHORT)
    summary = run_compare(config, tmp_path / "out").summary()
    (warning,) = summary.warnings
    assert f"the reference ({reference}) did not converge" in warning
    assert warning in (tmp_path / "out" / "comparison.html").read_text()
    console = Console(record=True, width=120)
    print_comparison(console, summary, None)
    assert f"WARNING  {warning}" in console.export_text()


def test_a_single_atom_is_refused():
    with pytest.raises(InputError, match=r"'\[Na\+\]' is a single atom"):
        run_compare(CompareConfig(molecule="[Na+]", models=("flow",), **SHORT))


def test_settings_are_checked_before_anything_is_computed():
    settings = {"vae": {"hiden": 3}}
    with pytest.raises(InputError, match="'hiden' cannot be 3"):
        comparison_entries(CompareConfig(molecule="CCO", model_settings=settings))


def test_parts_share_no_ladder_and_weights_are_obeyed(ethanol):
    found, _ = ethanol
    molecule, n, ladders = found.yardstick.molecule, 4000, 8
    x = torch.as_tensor(molecule.seed_conformers(1, seed=0)).float().expand(n, -1, -1)
    frames = Ensemble.from_frames(molecule, x, torch.zeros(n), 300.0, n, {"n_ladders": ladders})
    coordinates = _everything_inside()
    parts = reference_parts(frames, coordinates, seed=0)
    where = [set(rows % ladders) for rows in (parts.training, *parts.halves)]
    assert where == [{0, 1, 4, 5}, {2, 6}, {3, 7}]
    log_q = torch.zeros(n)
    log_q[1::2] = 50.0  # every other sample has no weight to speak of
    weighted = Ensemble.from_samples(molecule, x, torch.zeros(n), log_q, 300.0)
    parts = reference_parts(weighted, coordinates, seed=0)
    assert all((rows % 2 == 0).all() for rows in (parts.training, *parts.halves))
    assert parts.halves[0].max() < 3000 <= parts.halves[1].min()


def test_thinning_meets_every_ladder():
    rows = thinned(np.arange(32_000), 200, seed=0)
    assert len(np.unique(rows)) == 200
    assert len(np.unique(rows % 16)) == 16
    assert (np.diff(rows) > 0).all()


def _everything_inside():
    class Anywhere:
        class whitening:
            mean = torch.zeros(1)

        @staticmethod
        def canonicalise(x):
            return x

        @staticmethod
        def contains(x):
            return torch.ones(len(x), dtype=torch.bool)

    return Anywhere()


def test_command_refuses_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["boltzgen", "compare", "CCO", "--models", "flow,vea"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Model 'vea' is not known" in capsys.readouterr().err


def test_command_prints_a_table(monkeypatch, ethanol):
    monkeypatch.setattr("boltzgen.workflows.compare.run_compare", lambda *a, **k: ethanol[0])
    shown = CliRunner().invoke(app, ["compare", "CCO"])
    assert shown.exit_code == 0
    assert "samples as generated" in shown.output
    assert "broken failed: training diverged" in shown.output
    as_json = CliRunner().invoke(app, ["compare", "CCO", "--json"])
    assert json.loads(as_json.stdout)["models"][0]["model"] == "flow"
