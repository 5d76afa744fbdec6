"""Records: what they write is what they read, unknown numbers included."""

import json
import math
from pathlib import Path

import pytest

from boltzgen.errors import InputError
from boltzgen.records.run import ReferenceSummary, RunSummary, read_summary

ROOT = Path(__file__).parents[1]
SHIPPED = sorted((ROOT / "data").glob("*/summary.json"))


def test_keys_of_a_summary_keep_their_names():
    """Those that programs of users read: none of them may go."""
    promised = {
        "molecule", "n_atoms", "temperature_K", "forcefield", "solvent", "n_samples", "effective_sample_size",
        "effective_sample_size_fraction", "pareto_k", "free_energy_kT", "free_energy_stderr_kT", "log_Z",
        "n_energy_evaluations", "wall_seconds", "device", "seed", "versions", "converged", "warnings",
        "main_conformers", "schema_version",
    }  # fmt: skip
    assert promised <= set(RunSummary.model_fields)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_summaries_are_records_and_come_back(path):
    content = json.loads(path.read_text())
    record = read_summary(content)
    assert isinstance(record, ReferenceSummary)
    assert math.isnan(record.pareto_k)  # null in the file
    assert not hasattr(record, "model")
    written = json.loads(record.to_json())
    assert {key: written[key] for key in content} == content
    assert "log_Z" not in written


def test_a_summary_with_a_key_too_many_or_too_few_is_refused_by_its_name():
    content = json.loads(SHIPPED[0].read_text())
    with pytest.raises(InputError, match="n_laddders"):
        read_summary(content | {"n_laddders": 3})
    with pytest.raises(InputError, match="forcefield"):
        read_summary({key: value for key, value in content.items() if key != "forcefield"})
    with pytest.raises(InputError, match="schema_version"):
        read_summary(content | {"schema_version": 99})
