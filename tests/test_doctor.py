"""``boltzgen doctor`` tells a sound installation from one whose energies are wrong."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boltzgen.cli.application import app
from boltzgen.codegen.library import find_compiler
from boltzgen.energies.energy import Energy
from boltzgen.records.doctor import DoctorSummary
from boltzgen.workflows import doctor

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_sound_installation():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    found = DoctorSummary.model_validate(json.loads(result.output))
    assert found.healthy
    assert "Reference" in found.openmm_platforms
    assert len(found.energies) == len(doctor.CHECKED) * (1 if find_compiler() is None else 2)
    assert max(check.deviation_kJ_mol for check in found.energies) < doctor.LARGEST_DEVIATION


@pytest.mark.parametrize("as_json", [True, False])
def test_wrong_energies_end_in_exit_code_1(monkeypatch, as_json):
    right = Energy.forward
    monkeypatch.setattr(Energy, "forward", lambda self, x: right(self, x) + 1e-5)
    monkeypatch.setattr(doctor, "CHECKED", doctor.CHECKED[:1])
    result = CliRunner().invoke(app, ["doctor", *(["--json"] if as_json else [])])
    assert result.exit_code == 1
    assert ('"healthy": false' if as_json else "NOT equal to OpenMM's") in result.output


def test_extras_are_those_of_the_package():
    listed = {
        name: tuple(requirement.split(">=")[0].lower() for requirement in needed)
        for name, needed in PROJECT["optional-dependencies"].items()
        if name not in ("all", "docs", "test")
    }
    assert listed == doctor.EXTRAS
