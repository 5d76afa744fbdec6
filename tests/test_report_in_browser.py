"""Pages in a real browser: nothing is loaded, nothing fails, and the viewer shows conformers."""

import shutil
from io import BytesIO

import numpy as np
import pytest

from boltzgen.molecules.molecule import Molecule
from boltzgen.report.page import report_page
from tests.made_up_runs import made_up_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SOFTWARE_WEBGL = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SHOWN = "document.querySelector('#viewer').dataset.current"

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "report.html"
    run = made_up_run(Molecule.from_smiles("CC[C@H](C)CO"), converged=True)
    file.write_text(report_page(run, "boltzgen sample 'CC[C@H](C)CO'"), encoding="utf-8")
    return file


@pytest.mark.parametrize("width", [1280, 390])
def test_page_works_from_a_file(browser, page_file, width):
    said, asked = [], []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: said.append((message.type, message.text)))
    page.on("pageerror", lambda error: said.append(("error", str(error))))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_function(f"{SHOWN} === '1'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert colours(page.locator("#viewer .stage").screenshot()) > 20

    first = page.inner_text("#viewer .said")
    page.get_by_role("button", name="Next conformer").click()
    page.wait_for_function(f"{SHOWN} === '2'")
    assert page.inner_text("#viewer .said") != first
    page.get_by_role("button", name="Previous conformer").click()
    page.wait_for_function(f"{SHOWN} === '1'")
    assert page.inner_text("#viewer .said") == first

    assert [text for kind, text in said if kind == "error"] == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()


def colours(png: bytes) -> int:
    """How many different colours a picture has: one if it is blank."""
    from matplotlib.image import imread

    pixels = imread(BytesIO(png), format="png")
    return len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0))
