"""Generated code on disk: compiled once, whole, and with the compiler's own words where it fails."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from boltzgen.energies import native_born, native_library
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.native_library import cache_folder, load_libraries
from boltzgen.errors import EvaluationError

from .forces import gbsa_obc, system_with, tabulated_compound_bond

SOURCE = 'extern "C" int answer() { return 42; }\n'


def test_library_is_compiled_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path / "new" / "folder"))
    (library,) = load_libraries([SOURCE])
    assert library.answer() == 42
    (file,) = cache_folder().iterdir()
    written = file.stat().st_mtime_ns
    load_libraries([SOURCE, SOURCE])
    assert [f.stat().st_mtime_ns for f in cache_folder().iterdir()] == [written]


def test_folder_that_cannot_be_written_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path / "file" / "folder"))
    assert cache_folder().is_dir()
    assert load_libraries([SOURCE])[0].answer() == 42


def test_compiler_error_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    with pytest.raises(EvaluationError, match="nonsense"):
        load_libraries(["nonsense\n"])
    assert list(tmp_path.iterdir()) == []


def test_broken_library_is_compiled_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    source = SOURCE + "// broken\n"
    path = native_library._compiled(source)
    path.write_bytes(b"not a library")
    assert load_libraries([source])[0].answer() == 42
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_library_that_stays_broken_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    bad = tmp_path / "energy.so"

    def write(_):
        bad.write_bytes(b"not a library")
        return bad

    monkeypatch.setattr(native_library, "_compiled", write)
    with pytest.raises(EvaluationError, match=r"energy\.so cannot be loaded"):
        load_libraries([SOURCE])


def test_compiler_that_cannot_run_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(native_library, "find_compiler", lambda: str(tmp_path / "gone"))
    native_library._machine.cache_clear()
    try:
        with pytest.raises(EvaluationError, match="gone"):
            load_libraries([SOURCE])
    finally:
        native_library._machine.cache_clear()


def test_other_flags_are_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    first = native_library._compiled(SOURCE)
    monkeypatch.setattr(native_library, "_FLAG_SETS", (["--no-such-option"], []))
    assert native_library._compiled(SOURCE) != first
    monkeypatch.setattr(native_library, "_PORTABLE", [*native_library._PORTABLE, "-g"])
    native_library._compiled(SOURCE)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("fork", [False, True])
def test_temporary_folder_is_gone_at_the_end(tmp_path, fork):
    (tmp_path / "file").write_text("")
    program = f"""
import os, pathlib, sys
from boltzgen.energies.native_library import cache_folder, load_libraries
folder = cache_folder()
load_libraries([{SOURCE!r}])
if {fork}:
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
assert any(folder.iterdir())
print(folder)
"""
    environment = {**os.environ, "BOLTZGEN_CACHE": str(tmp_path / "file" / "folder"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent == tmp_path
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_lack_of_memory_is_reported(monkeypatch):
    """In an implicit solvent, whose kernel asks for memory of its own."""
    monkeypatch.setattr(native_born, "_SCRATCH", "static T* scratch(int64_t) { return nullptr; }\n")
    energy = compile_system(system_with(gbsa_obc), compiled=True)
    with pytest.raises(EvaluationError, match="no memory"):
        energy(torch.randn(3, energy.n_atoms, 40, dtype=torch.float64))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda energy: pickle.loads(pickle.dumps(energy))])
def test_copies_of_a_compiled_energy_compute_the_same(duplicate):
    energy = compile_system(system_with(tabulated_compound_bond), compiled=True)
    x = torch.randn(3, energy.n_atoms, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = energy(x)
    torch.testing.assert_close(duplicate(energy)(x), value, rtol=0, atol=0)
