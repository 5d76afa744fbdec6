"""The cache of compiled code loads nothing that another user could have written, nor a damaged file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from boltzgen.codegen import cache, library
from boltzgen.codegen.cache import cache_folder, check_library
from boltzgen.codegen.library import load_libraries

SOURCE = 'extern "C" int answer() { return 42; }\n'
INTRUDER = 'extern "C" int answer() { return 666; }\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("BOLTZGEN_CACHE", str(folder))
    cache._say_once.cache_clear()
    return folder


def test_folder_is_made_for_this_user_alone(folder, monkeypatch):
    monkeypatch.setenv("BOLTZGEN_CACHE", str(folder / "deeper"))
    before = os.umask(0)
    try:
        made = cache_folder()
    finally:
        os.umask(before)
    assert made == folder / "deeper"
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_folder_that_others_can_write_is_refused_and_said_once(folder, mode):
    folder.chmod(mode)
    with pytest.warns(UserWarning, match="other users can write it") as said:
        assert cache_folder() != folder
    assert load_libraries([SOURCE + f"// {mode}\n"])[0].answer() == 42  # without another warning
    assert len(said) == 1
    assert list(folder.iterdir()) == []


def test_folder_of_another_user_is_refused(folder, monkeypatch):
    monkeypatch.setattr(cache.os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.warns(UserWarning, match="belongs to another user"):
        assert cache_folder() != folder


def test_folder_that_others_can_replace_is_refused(tmp_path, folder):
    tmp_path.chmod(0o707)
    with pytest.warns(UserWarning, match="rename"):
        assert cache_folder() != folder
    tmp_path.chmod(0o1707)  # with the sticky bit only the owner renames
    assert cache_folder() == folder


def test_a_link_to_a_private_folder_is_followed(tmp_path, folder, monkeypatch):
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("BOLTZGEN_CACHE", str(tmp_path / "link"))
    assert cache_folder() == folder


def writable_by_others(path):
    path.chmod(0o722)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def one_bit_changed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def replaced_by_a_link(path):
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "damage", [writable_by_others, truncated, one_bit_changed, empty, replaced_by_a_link]
)
def test_library_that_cannot_be_trusted_is_compiled_anew(folder, damage):
    source = SOURCE + f"// {damage.__name__}\n"
    path = library._compiled(source)
    check_library(path)
    damage(path)
    with pytest.raises(OSError, match=path.name):
        check_library(path)
    assert load_libraries([source])[0].answer() == 42
    check_library(path)


def test_library_of_another_user_is_refused(folder, monkeypatch):
    path = library._compiled(SOURCE)
    monkeypatch.setattr(cache.os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(OSError, match="another user"):
        check_library(path)


def test_content_under_another_name_is_refused(folder):
    intruder, wanted = library._compiled(INTRUDER), library._compiled(SOURCE)
    os.replace(intruder, wanted)
    assert load_libraries([SOURCE])[0].answer() == 42


def test_processes_that_compile_the_same_at_once_all_succeed(folder):
    program = f"""
from boltzgen.codegen.library import load_libraries
print(load_libraries([{SOURCE!r} + "// together"])[0].answer())
"""
    with ThreadPoolExecutor(3) as pool:
        runs = pool.map(
            lambda _: subprocess.run([sys.executable, "-c", program], capture_output=True, text=True),
            range(3),
        )
    assert [run.stdout for run in runs] == ["42\n"] * 3
    (file,) = folder.iterdir()
    check_library(file)
