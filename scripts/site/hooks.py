"""What mkdocs calls while it builds the site: generated pages, pages of the root, the navigation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from reference import PAGES  # noqa: E402

REPOSITORY_PAGES = {
    "README.md": "index.md",
    "BENCHMARKS.md": "benchmarks.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the repository's root, and where the site has them."""

EXPLANATION = ["explanation.md", "generators.md", "models.md", "faults.md", "gpu.md"]
FIRST_RECIPES = ["cli.md", "python.md", "recipes.md"]


def on_config(config: Any) -> Any:
    """The navigation. A page of docs/ that is named nowhere is a recipe."""
    there = sorted(path.name for path in Path(config.docs_dir).glob("*.md"))
    recipes = [name for name in FIRST_RECIPES if name in there]
    recipes += [name for name in there if name not in (*recipes, *EXPLANATION, "tutorial.md")]
    config.nav = [
        {"Start": "index.md"},
        {"Tutorial": "tutorial.md"},
        {"How to": recipes},
        {"Explanation": [name for name in EXPLANATION if name in there]},
        {"Reference": list(PAGES)},
        {"Project": list(REPOSITORY_PAGES.values())[1:]},
    ]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are generated, and those of the repository's root."""
    for place, page in PAGES.items():
        files.append(File.generated(config, place, content=page()))
    for name, place in REPOSITORY_PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links within the repository lead to the site's pages; those to files that it lacks are text."""
    at_root = page.file.src_uri in REPOSITORY_PAGES.values()
    if page.file.src_uri in PAGES:
        return markdown

    def link(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        if re.match(r"[a-z]+:", target) or not (at_root or target.startswith("../")):
            return match[0]
        path = target.removeprefix("../")
        if path in REPOSITORY_PAGES:
            return f"[{text}]({REPOSITORY_PAGES[path]}{anchor})"
        if path.startswith("docs/"):
            return f"[{text}]({path.removeprefix('docs/')}{anchor})"
        return text

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)", link, markdown)
