"""Generated code on disk: compiled once, whole, and with the compiler's own words where it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boltzgen.codegen import library
from boltzgen.codegen.cache import cache_folder
from boltzgen.codegen.library import load_libraries
from boltzgen.errors import EvaluationError

SOURCE = 'extern "C" int answer() { return 42; }\n'


def test_library_is_compiled_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path / "new" / "folder"))
    assert load_libraries([SOURCE])[0].answer() == 42
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
    path = library._compiled(source)
    path.write_bytes(b"not a library")
    assert load_libraries([source])[0].answer() == 42
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_library_that_stays_broken_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    bad = tmp_path / "kernel.so"

    def write(_):
        bad.write_bytes(b"not a library")
        return bad

    monkeypatch.setattr(library, "_compiled", write)
    with pytest.raises(EvaluationError, match=r"kernel\.so cannot be loaded"):
        load_libraries([SOURCE])


def test_compiler_that_cannot_run_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(library, "find_compiler", lambda: str(tmp_path / "gone"))
    library._machine.cache_clear()
    try:
        with pytest.raises(EvaluationError, match="gone"):
            load_libraries([SOURCE])
    finally:
        library._machine.cache_clear()


def test_other_flags_are_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    first = library._compiled(SOURCE)
    monkeypatch.setattr(library, "_FLAG_SETS", (["--no-such-option"], []))
    assert library._compiled(SOURCE) != first
    monkeypatch.setattr(library, "_PORTABLE", [*library._PORTABLE, "-g"])
    library._compiled(SOURCE)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("fork", [False, True])
def test_temporary_folder_is_gone_at_the_end(tmp_path, fork):
    (tmp_path / "file").write_text("")
    program = f"""
import os, pathlib, sys
from boltzgen.codegen.cache import cache_folder
from boltzgen.codegen.library import load_libraries
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
