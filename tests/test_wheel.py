"""The wheel of the repository in an empty environment: it runs, and the systems are inside."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SYSTEMS = {path.parent.name for path in (ROOT / "systems").glob("*/system.toml")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(ROOT),
        "--no-deps",
        "--quiet",
        "--wheel-dir",
        str(folder),
    ]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_every_file_that_is_no_code(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "boltzgen"
    for path in package.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert f"boltzgen/{path.relative_to(package).as_posix()}" in inside
    for path in (ROOT / "systems").rglob("*"):
        if path.is_file():
            assert f"boltzgen/_systems/{path.relative_to(ROOT / 'systems').as_posix()}" in inside
    assert not any(name.startswith(("tests/", "scripts/", "docs/")) for name in inside)


@pytest.mark.slow
def test_the_wheel_runs_in_an_environment_of_its_own(wheel, tmp_path):
    """Dependencies are those of this environment, put on the path last; boltzgen is the wheel's."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=120)
    python = tmp_path / "env" / "bin" / "python"
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--quiet",
        str(wheel),
    ]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode in (0, 3), done.stderr
        return done.stdout

    where = run(str(python), "-c", "import boltzgen; print(boltzgen.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    program = str(tmp_path / "env" / "bin" / "boltzgen")
    listed = run(program, "systems")
    assert all(name in listed for name in SYSTEMS)
    run(program, "sample", "CCO", "-n", "200", "--budget", "6s", "-o", "ethanol")
    assert (tmp_path / "ethanol" / "report.html").is_file()
