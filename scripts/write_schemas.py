"""JSON schemas of what a run reads and writes: writes docs/schemas/NAME.json.

    python scripts/write_schemas.py [--check]

``config``: settings of a run, as config.toml has them. ``summary``, ``reference-summary``: summary.json of
`boltzgen sample` and `boltzgen reference`. ``comparison``: comparison.json. ``free-energy``:
free-energy.json. --check writes nothing and ends with exit code 1 if a file is not what the code gives.
"""

import argparse
import json
from pathlib import Path

from pydantic import BaseModel

from boltzgen.records.comparison import ComparisonSummary
from boltzgen.records.free_energy import FreeEnergySummary
from boltzgen.records.run import ReferenceSummary, RunSummary
from boltzgen.workflows.config import SampleConfig

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "schemas"
SCHEMAS: dict[str, type[BaseModel]] = {
    "config": SampleConfig,
    "summary": RunSummary,
    "reference-summary": ReferenceSummary,
    "comparison": ComparisonSummary,
    "free-energy": FreeEnergySummary,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in SCHEMAS:
        path = FOLDER / f"{name}.json"
        if not arguments.check:
            path.write_text(schema_text(name), encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != schema_text(name):
            raise SystemExit(f"{path.name} is not up to date: run python scripts/write_schemas.py")


def schema_text(name: str) -> str:
    """The schema called ``name``, as its file has it."""
    schema = SCHEMAS[name].model_json_schema()
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    main()
