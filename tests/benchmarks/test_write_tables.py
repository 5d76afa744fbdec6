"""BENCHMARKS.md holds what the records say, and nothing else."""

import json
import shlex

import pytest

from tests.benchmarks.conftest import FOLDER

SHARED = {"harness", "reference_frames", "waits", "write_tables"}
# Benchmarks of scripts beside the folder.
CHECKS = {
    "robustness": "robustness",
    "training_safety": "training_safety",
    "calibration_verdict": "calibration",
    "calibration_coverage": "calibration",
}


@pytest.fixture
def writer(script):
    return script("write_tables")


def test_the_page_is_up_to_date(writer):
    assert writer.PAGE.read_text(encoding="utf-8") == writer.page()


def test_every_benchmark_is_on_the_page(writer):
    scripts = {path.stem for path in FOLDER.glob("*.py")} - SHARED
    assert {benchmark.name for benchmark in writer.BENCHMARKS} == scripts | set(CHECKS)


def test_every_record_belongs_to_a_benchmark(writer):
    names = {benchmark.name for benchmark in writer.BENCHMARKS}
    for path in writer.RECORDS.glob("*.json"):
        assert path.stem in names
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["benchmark"] == path.stem
        assert not record["commit"].endswith("-changed"), "a record is of a commit that everybody has"


def test_without_a_record_the_command_stands_there(writer, tmp_path):
    text = writer.page(tmp_path)
    assert text.count("Not yet measured with version") == len(writer.BENCHMARKS)
    for benchmark in writer.BENCHMARKS:
        assert f"`{benchmark.command}`" in text
        words = shlex.split(benchmark.command)
        script = CHECKS.get(benchmark.name, f"benchmarks/{benchmark.name}")
        assert f"scripts/{script}.py" in words
        assert "--json" in words


def test_the_readme_has_the_figures_of_the_robustness_run(writer):
    figures = json.loads((writer.RECORDS / "robustness.json").read_text(encoding="utf-8"))["figures"]
    outcomes = [row["outcome"] for row in figures["rows"]]
    readme = " ".join((writer.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert (
        f"Of {len(outcomes)} molecules drawn at random from a list of {figures['listed']} (salts, cages,"
        f" macrocycles, peptides, nonsense), {outcomes.count('sampled')} were sampled and"
        f" {outcomes.count('refused')} refused in one sentence"
    ) in readme
    assert set(outcomes) == {"sampled", "refused"}
