"""Lists of molecules, records and tables that all benchmarks share."""

import json
import subprocess

import pytest


@pytest.fixture
def harness(script):
    return script("harness")


@pytest.fixture
def benchmark(harness):
    columns = (
        harness.Column("name", harness.figure("name")),
        harness.Column("%", harness.figure("x", ".1f", 100)),
    )
    return harness.Benchmark(
        "toy", "Toy", "text", "command", lambda rows: [harness.table("All | of it", rows, columns)]
    )


def test_list_of_molecules_is_read_as_people_write_it(harness, tmp_path):
    path = tmp_path / "list.smi"
    path.write_text("# a list\n\nCCO ethanol\nCCC\nCCN\tan amine  \nCCCC ethanol\n")
    expected = {"ethanol": "CCO", "CCC": "CCC", "an amine": "CCN", "ethanol 2": "CCCC"}
    assert harness.read_molecules(path) == expected
    for bad in ("missing.smi", "empty.smi"):
        (tmp_path / "empty.smi").write_text("# nothing\n")
        with pytest.raises(SystemExit, match=bad):
            harness.read_molecules(tmp_path / bad)


def test_a_record_says_where_its_figures_come_from(harness, benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", [str(harness.ROOT / "scripts" / "toy.py"), "--molecules", "a b.smi"])
    path = tmp_path / "new" / "toy.json"
    harness.Recorder(benchmark, path, quick=True).keep([{"name": "a", "x": float("nan")}])
    record = json.loads(path.read_text())
    assert record["command"] == "python scripts/toy.py --molecules 'a b.smi'"
    assert record["quick"] is True
    assert record["figures"] == [{"name": "a", "x": None}]
    assert record["versions"]["torch"]
    assert record["machine"]["cores"] >= 1
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=harness.ROOT, capture_output=True, text=True)
    if head.returncode == 0:
        assert head.stdout.startswith(record["commit"].removesuffix("-changed"))


def test_no_record_is_written_unasked(harness, benchmark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harness.Recorder(benchmark, None, quick=False).keep([])
    assert not list(tmp_path.iterdir())


def test_json_without_a_file_means_the_kept_record(harness, benchmark):
    parser = harness.option_parser(benchmark, None, "less")
    assert parser.parse_args(["--json"]).json == harness.RECORDS / "toy.json"
    assert parser.parse_args(["--json", "x.json"]).json.name == "x.json"
    assert parser.parse_args([]).json is None


def test_tables_print_and_become_markdown(harness, benchmark, capsys):
    figures = [{"name": "a|b [red]", "x": 0.123}, {"name": "c", "x": None}]
    (rows,) = benchmark.tables(figures)
    assert harness.markdown(rows) == (
        "All | of it:\n\n| name | % |\n| --- | --- |\n| a\\|b [red] | 12.3 |\n| c |  |"
    )
    benchmark.show(figures)
    assert "a|b [red]" in capsys.readouterr().out
