"""The documentation site is built without a warning, and its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the site, as ``mkdocs build --strict`` makes it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> dict[Path, str]:
    return {
        path: path.read_text(encoding="utf-8") for path in site.rglob("*.html") if path.name != "404.html"
    }


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(site):
    texts = pages(site)
    for path, text in texts.items():
        for target in re.findall(r'(?:href|src)="([^"]+)"', text):
            if re.match(r"[a-z]+:|#|//", target) or not target:
                continue
            place, _, anchor = target.partition("#")
            found = (path.parent / place.split("?")[0]).resolve()
            found = found / "index.html" if found.is_dir() else found
            assert found.exists(), f"{path.relative_to(site)}: {target}"
            if anchor and found.suffix == ".html":
                assert f'id="{anchor}"' in found.read_text(encoding="utf-8"), (
                    f"{path.relative_to(site)}: {target}"
                )


def test_reference_has_what_the_code_has(site):
    import boltzgen
    from boltzgen.cli.application import app
    from boltzgen.workflows.config import SampleConfig

    python = (site / "reference" / "python" / "index.html").read_text()
    for name in boltzgen.__all__:
        assert f'id="{boltzgen._PUBLIC[name]}.{name}"' in python
    settings = (site / "reference" / "settings" / "index.html").read_text()
    for name in SampleConfig.model_fields:
        assert name in settings
    commands = (site / "reference" / "command-line" / "index.html").read_text()
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"boltzgen {name}" in commands
    assert "--error-free-energy" in commands


def test_site_asks_nothing_of_other_hosts_for_its_text(site):
    for path, text in pages(site).items():
        for source in re.findall(
            r'<(?:script|link rel="stylesheet")[^>]+(?:src|href)="(https?://[^"]+)"', text
        ):
            raise AssertionError(f"{path.relative_to(site)} loads {source}")
