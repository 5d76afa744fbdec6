"""What calibration.py calls good, bad and covered, on ensembles of known shares."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.ensemble import Ensemble
from boltzgen.models.flow import FlowModel
from boltzgen.molecules.dihedrals import dihedrals
from boltzgen.molecules.molecule import Molecule
from tests.coordinates.frames import coordinates

SCRIPTS = Path(__file__).parents[2] / "scripts"
MODULES = ("calibration", "long_references", "jobs")


@pytest.fixture
def script(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    yield __import__
    for name in MODULES:
        sys.modules.pop(name, None)


def butane(n_anti, n_gauche, seed, higher=0.0):
    """Frames of butane's anti and gauche conformers, shaken a little; energies in kT with unit spread."""
    molecule = Molecule.from_smiles("CCCC")
    seeds = molecule.seed_conformers(40)
    torsion = np.abs(dihedrals(*(seeds[:, atom] for atom in range(4))))
    anti, gauche = seeds[torsion > 2.5][0], seeds[torsion < 1.5][0]
    random = np.random.default_rng(seed)
    x = np.concatenate([np.repeat(anti[None], n_anti, 0), np.repeat(gauche[None], n_gauche, 0)])
    x = random.permutation(x + 0.002 * random.normal(size=x.shape))
    u = torch.from_numpy(random.normal(size=len(x)) + higher)
    return Ensemble.from_frames(molecule, torch.from_numpy(x), u, 300.0, len(x), {"n_ladders": 10})


def test_distances_tell_good_runs_from_bad_ones(script):
    distance = script("long_references").distance_from_reference
    reference = butane(7000, 3000, 0)
    assert distance(butane(1400, 600, 1), reference)["truth"] == "good"
    shifted = distance(butane(1000, 1000, 1), reference)
    assert shifted["truth"] == "bad"
    assert shifted["distance"] == pytest.approx(0.2, abs=1e-9)
    dropped = distance(butane(2000, 0, 1), reference)
    assert dropped["truth"] == "bad"
    assert dropped["missed"] == pytest.approx(0.3, abs=1e-9)
    assert distance(butane(1400, 600, 1, higher=2.0), reference)["truth"] == "bad"
    few = butane(14, 6, 1)
    assert distance(few, reference)["truth"] == "useless"


def test_a_flow_with_a_dropped_mode_keeps_its_density_elsewhere(script):
    """Of the gauche conformer: no samples, no density; all other samples with the density that is left."""
    module = script("long_references")
    reference = butane(700, 300, 0)
    conformer, share = module.droppable(reference)
    assert share == pytest.approx(0.3, abs=1e-9)
    assert module.droppable(butane(700, 0, 0)) is None
    flow = FlowModel(coordinates("butane")).double()
    with torch.no_grad(), module.mode_dropped(reference, conformer):
        x, log_q = flow.sample_with_log_prob(3000, torch.Generator().manual_seed(0))
        density = flow.log_prob(x)
        frames = torch.from_numpy(reference.positions).double()
        of_frames = flow.log_prob(frames)
    is_gauche = torch.from_numpy(module.Conformers.of(reference).members(reference)[conformer])
    assert torch.equal(of_frames == -torch.inf, is_gauche)
    lost = (density - log_q).exp()  # the share that was left before normalisation
    assert lost.std() < 1e-6
    assert 0.0 < float(lost.mean()) < 1.0
    assert torch.isfinite(density).all()
    assert FlowModel.log_prob.__name__ == "log_prob"


def test_tables_count_wrong_words(script):
    calibration = script("calibration")
    figures = {"distance": 0.1, "noise": 0.0, "missed": 0.0, "energy_apart_kT": 0.0}
    figures |= {"effective_samples": 10.0, "pareto_k": 0.1, "warnings": ["a reason"]}
    row = {"converged": True, "truth": "good", **figures}
    rows = {f"easy x {k}": row for k in range(40)}
    assert calibration.verdict_held(rows)
    assert calibration.verdict_held(rows | {"hard y 1": row | {"truth": "bad"}})  # 1 of 41
    wrong = {f"hard y {k}": row | {"truth": "bad"} for k in range(2)}
    assert not calibration.verdict_held(rows | wrong)  # 2 of 42
    refused = {f"hard z {k}": row | {"converged": False} for k in range(8)}
    assert not calibration.verdict_held(rows | refused)  # 8 of 48
    *_, wrong_side = calibration.verdict_tables(rows | refused)
    assert "hard z 3" in [line[0] for line in wrong_side.rows]
    assert len(wrong_side.rows) == 8


@pytest.mark.parametrize(("stated", "holds"), [(1.0, True), (0.5, False)])
def test_coverage_is_of_honest_errors(script, stated, holds):
    """Estimates that scatter by one standard error cover, by two do not."""
    calibration, random = script("calibration"), np.random.default_rng(1)
    rows = {
        f"coverage butane {k}": {
            "converged": True,
            "quantities": {"U/kT": [random.normal(), stated, 0.0, 0.1]},
        }
        for k in range(50)
    }
    assert calibration.coverage_held(rows) == holds


def test_the_toys_energy_is_the_derivative_of_its_log_z(script):
    """Its bonds and angles are nearly harmonic: half a kT each, and less than one for each torsion."""
    calibration = script("calibration")
    assert calibration.exact("F/kT") == pytest.approx(65.8333959, abs=1e-6)
    assert 5.0 < calibration.exact("U/kT") < 13.0


def test_equal_runs_are_told_apart_by_weights_alone(script):
    module = script("long_references")
    reference = butane(700, 300, 0)
    heavier = np.where(module.Conformers.of(reference).members(reference)[0], 0.0, -50.0)
    run = replace(reference, log_weights=heavier)
    assert module.distance_from_reference(run, reference)["missed"] == pytest.approx(0.3, abs=1e-9)
