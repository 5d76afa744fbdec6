"""The JSON schemas in docs/schemas/ are those of the code."""

import json
import sys
import tomllib
from importlib import import_module

import pytest

from boltzgen.workflows.config import SampleConfig, config_toml
from tests.test_documentation import ROOT


@pytest.fixture
def writer(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    return import_module("write_schemas")


def test_schemas_are_up_to_date(writer):
    assert {path.stem for path in writer.FOLDER.glob("*.json")} == set(writer.SCHEMAS)
    for name in writer.SCHEMAS:
        assert (writer.FOLDER / f"{name}.json").read_text(encoding="utf-8") == writer.schema_text(name)


def test_what_a_config_file_holds_is_in_its_schema(writer):
    """Every key of a config.toml with defaults, table by table, has its property."""
    schema = json.loads(writer.schema_text("config"))

    def check(settings, properties):
        for name, value in settings.items():
            assert name in properties
            if isinstance(value, dict) and "$ref" in properties[name]:
                check(value, schema["$defs"][properties[name]["$ref"].rpartition("/")[2]]["properties"])

    check(tomllib.loads(config_toml(SampleConfig(molecule="CCO"))), schema["properties"])
