"""The faults of scripts/faults.py fit the package as it is."""

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def mutation(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    import mutation

    yield mutation
    for name in ("mutation", "faults"):
        sys.modules.pop(name, None)


def test_every_fault_has_its_place_and_changes_it(mutation):
    for fault in mutation.FAULTS:
        text = (mutation.ROOT / mutation.place(fault)).read_text(encoding="utf-8")
        compile(text.replace(fault.old, fault.new), "faulty", "exec")
        assert fault.new != fault.old
        for tests in fault.tests:
            assert (mutation.ROOT / tests).exists()
    assert len({fault.what for fault in mutation.FAULTS}) == len(mutation.FAULTS) >= 30


def test_a_text_that_is_gone_is_named(mutation):
    with pytest.raises(SystemExit, match="'moved' is nowhere"):
        mutation.place(mutation.Fault("moved", "a text that no file has", "", ()))
    with pytest.raises(SystemExit, match="not once"):
        mutation.place(mutation.Fault("everywhere", "import", "", ()))


@pytest.mark.slow
def test_a_planted_fault_is_found_and_a_harmless_change_survives(mutation, tmp_path, monkeypatch):
    """In a package of one function with one test."""
    (tmp_path / "boltzgen").mkdir()
    (tmp_path / "boltzgen" / "__init__.py").touch()
    (tmp_path / "boltzgen" / "double.py").write_text("def double(x):\n    return 2 * x\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_double.py").write_text(
        "from boltzgen.double import double\n\n\ndef test_double():\n    assert double(3) == 6\n"
    )
    monkeypatch.setattr(mutation, "ROOT", tmp_path)
    for old, new, found in (("2 * x", "3 * x", True), ("2 * x", "x + x", False)):
        fault = mutation.Fault("changed", old, new, ("tests",))
        failed = mutation.test(fault, mutation.place(fault), whole=False)
        assert failed == ("tests/test_double.py::test_double" if found else "")
    broken = mutation.Fault("broken", "2 * x", "0", ("tests",))
    (tmp_path / "tests" / "test_double.py").write_text("def test_always_fails():\n    assert False\n")
    with pytest.raises(SystemExit, match="without a fault"):
        mutation.test(broken, mutation.place(broken), whole=False)
