"""Generated code on disk: compiled once, whole, and with the compiler's own words where it fails."""

import copy
import pickle

import pytest
import torch

from boltzgen.energies import native_library
from boltzgen.energies.compiler import compile_system
from boltzgen.energies.native_library import cache_folder, load_libraries
from boltzgen.errors import EvaluationError

from .forces import system_with, tabulated_compound_bond

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


def test_broken_library_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path))
    path = native_library._compiled(SOURCE + "// broken\n")
    path.write_bytes(b"not a library")
    with pytest.raises(EvaluationError, match="delete it"):
        load_libraries([SOURCE + "// broken\n"])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda energy: pickle.loads(pickle.dumps(energy))])
def test_copies_of_a_compiled_energy_compute_the_same(duplicate):
    energy = compile_system(system_with(tabulated_compound_bond), compiled=True)
    x = torch.randn(3, energy.n_atoms, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    value = energy(x)
    torch.testing.assert_close(duplicate(energy)(x), value, rtol=0, atol=0)
