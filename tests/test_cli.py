"""The command line: exit codes, one sentence for bad input, nothing but JSON with --json."""

import json

import pytest
from typer.testing import CliRunner

import boltzgen
from boltzgen import cli
from boltzgen.cli import options
from boltzgen.errors import InputError

BAD_INPUT = {
    "unparsable SMILES": (["C1CC"], "C1CC"),
    "name of a molecule": (["ibuprofen"], "names of molecules are not looked up"),
    "misspelt name of a system": (["alanine_dipeptide"], "alanine-dipeptide"),
    "several fragments": (["CCO.O"], "CCO.O"),
    "radical": (["[CH3]"], "radical"),
    "dummy atom": (["C*"], "dummy"),
    "element without parameters": (["C[SeH]"], "Se"),
    "too many atoms": (["C" * 60], "120"),
    "open stereocentre": (["CC(F)Cl"], "[C@"),
    "no samples": (["CCO", "-n", "0"], "0 samples"),
    "negative temperature": (["CCO", "-T", "-5"], "-5"),
    "absolute zero": (["CCO", "-T", "0"], "temperature"),
    "no duration": (["CCO", "--budget", "soon"], "soon"),
    "unknown force field": (["CCO", "--forcefield", "mm5"], "mm5"),
    "unknown solvent": (["CCO", "--solvent", "beer"], "beer"),
    "unknown device": (["CCO", "--device", "abacus"], "abacus"),
    "seed beyond 64 bits": (["CCO", "--seed", "9" * 23], "9" * 23),
    "temperature of a star": (["CCO", "-T", "1e6"], "1000000.0 K"),
    "folder without a name": (["CCO", "-o", ""], "names no folder"),
    "folder with a line break": (["CCO", "-o", "a\nb"], "names no folder"),
    "file with a line break": (["a\nb.sdf"], "a\\nb.sdf"),
    "unknown refinement": (["CCO", "--refine", "always"], "always"),
    "resumption of nothing": (["CCO", "--resume"], "--out"),
}


def run(arguments, capsys) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``boltzgen arguments``."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["boltzgen", *arguments])
            cli.main()
    except SystemExit as end:
        output = capsys.readouterr()
        return int(end.code or 0), output.out, output.err
    raise AssertionError("the command line always ends in an exit code")


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_and_exit_code_2(case, capsys):
    arguments, named = BAD_INPUT[case]
    code, out, err = run(["sample", *arguments], capsys)
    assert code == 2
    assert out == ""
    message = " ".join(line for line in err.splitlines() if not line.startswith("["))
    assert named in message
    assert "Traceback" not in err


def test_a_ladder_without_end_is_refused(capsys):
    code, _, err = run(["reference", "CCO", "--hottest", "inf"], capsys)
    assert code == 2
    assert "'hottest' cannot be inf" in err


def test_the_version_is_printed(capsys):
    code, out, _ = run(["--version"], capsys)
    assert (code, out) == (0, f"boltzgen {boltzgen.__version__}\n")


def test_configurations_that_are_too_large_or_too_deep_are_refused(tmp_path, capsys):
    for name, text, sentence in (
        ("long", "a" + ".a" * 200_000 + " = 1", "MB"),
        ("deep", "x = " + "[" * 20_000, "nested too deeply"),
    ):
        (tmp_path / f"{name}.toml").write_text(text)
        code, _, err = run(["train", str(tmp_path / f"{name}.toml")], capsys)
        assert code == 2
        assert sentence in err


def test_a_folder_with_another_run_is_left_alone(tmp_path, capsys):
    (tmp_path / "summary.json").write_text("{}")
    code, _, err = run(["sample", "O", "-o", str(tmp_path)], capsys)
    assert code == 2
    assert "already holds a run" in " ".join(err.split())
    assert (tmp_path / "summary.json").read_text() == "{}"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    code, _, err = run(["sample", "O", "-o", str(tmp_path / "file" / "run")], capsys)
    assert code == 2
    assert "file/run" in "".join(err.split())


def test_json_prints_the_summary_and_nothing_else(tmp_path, capsys):
    folder = tmp_path / "water"
    code, out, _ = run(["sample", "O", "-n", "2000", "--budget", "6", "--json", "-o", str(folder)], capsys)
    assert json.loads(out) == json.loads((folder / "summary.json").read_text())
    assert json.loads(out)["converged"] is (code == 0)


def test_too_few_effective_samples_end_in_exit_code_3(capsys):
    code, out, _ = run(["sample", "O", "-n", "20", "--budget", "5"], capsys)
    assert code == 3
    assert "did not converge" in out


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_durations(text, seconds):
    assert options.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-3m", "5 minutes", "m"])
def test_what_is_no_duration(text):
    with pytest.raises(InputError):
        options.parse_duration(text)


def test_help_names_every_option_of_sample():
    result = CliRunner().invoke(cli.app, ["sample", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    for option in ("--samples", "--temperature", "--forcefield", "--solvent", "--budget", "--seed", "--out"):
        assert option in result.output


@pytest.mark.parametrize(
    ("text", "kcal"), [("0.02kcal", 0.02), ("0.02", 0.02), ("4.184kJ", 1.0), (".5 kcal/mol", 0.5)]
)
def test_energies_are_read_with_their_units(text, kcal):
    assert options.parse_energy(text) == pytest.approx(kcal)


@pytest.mark.parametrize("text", ["", "kcal", "0kcal", "-1kcal", "1eV"])
def test_what_is_no_energy_is_named(text):
    with pytest.raises(InputError, match="not an energy"):
        options.parse_energy(text)
