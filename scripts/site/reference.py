"""Pages of reference that are made from the code: command line, settings, summary, Python."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]


def cell(text: str) -> str:
    """``text`` for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def command_line_page() -> str:
    """Every command with its arguments and options, as ``boltzgen COMMAND --help`` has them."""
    from boltzgen.cli import app

    group: Any = typer.main.get_command(app)
    lines = ["# Command line", "", "Made from the program itself; [examples](../cli.md) are elsewhere.", ""]
    for name, command in group.commands.items():
        lines += [f"## boltzgen {name}", "", inspect.cleandoc(command.help or ""), ""]
        rows = [parameter for parameter in command.params if parameter.name != "help"]
        if not rows:
            continue
        lines += ["| argument or option | default | meaning |", "|---|---|---|"]
        for parameter in rows:
            names = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "argument":
                names = f"`{(parameter.metavar or parameter.name or '').upper()}`"
            default = "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"
            default = "" if callable(parameter.default) else default
            meaning = cell(getattr(parameter, "help", None) or "")
            lines.append(f"| {names} | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def settings_page() -> str:
    """Every setting of a run, table by table as config.toml has them."""
    from boltzgen.training.families import FAMILIES
    from boltzgen.workflows.config import SHORT_NAMES, SampleConfig

    lines = ["# Settings", "", "What `config.toml` of a run holds; `--set NAME=VALUE` and keywords of"]
    lines += [
        "`boltzgen.sample` reach all of them. The JSON schema is [config.json](../schemas/config.json).",
        "",
    ]
    for name, schema in _tables(SampleConfig, ""):
        lines += [f"## {name or 'The run'}", "", _paragraphs(schema), "", *_rows(schema), ""]
    lines += ["## Short names", "", "| name | setting |", "|---|---|"]
    lines += [f"| `{short}` | `{full}` |" for short, full in SHORT_NAMES.items()]
    for name, family in FAMILIES.items():
        lines += [
            "",
            f"## model_settings of {name}",
            "",
            _paragraphs(family.config),
            "",
            *_rows(family.config),
        ]
    return "\n".join(lines) + "\n"


def _tables(schema: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, schema
    for field, info in schema.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _tables(inner, f"{name}.{field}".lstrip("."))


def _paragraphs(schema: type[BaseModel]) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(schema.__doc__ or ""))


def _rows(schema: type[BaseModel]) -> list[str]:
    rows = ["| setting | type | default |", "|---|---|---|"]
    for field, info in schema.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            continue
        default = "required" if info.is_required() else f"`{info.get_default(call_default_factory=False)}`"
        if info.default_factory is not None:
            default = ""
        rows.append(f"| `{field}` | {cell(_type_text(info.annotation))} | {default} |")
    return rows if len(rows) > 2 else []


def _type_text(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else _type_text(a) for a in get_args(annotation))
    if get_origin(annotation) is not None and "Literal" in str(get_origin(annotation)):
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    words = {"int": "integer", "float": "number", "bool": "true or false", "str": "text", "Path": "path"}
    name = getattr(annotation, "__name__", str(annotation))
    return words.get(name, name)


def summary_page() -> str:
    """Every field of summary.json, from its schema."""
    schema = json.loads((ROOT / "docs" / "schemas" / "summary.json").read_text(encoding="utf-8"))
    lines = [
        "# summary.json",
        "",
        "Units stand in the names; a number that is not known is `null`. The JSON schema",
    ]
    lines += ["is [summary.json](../schemas/summary.json).", ""]
    parts = [("The run", schema), *schema.get("$defs", {}).items()]
    for name, part in parts:
        if "properties" not in part:
            continue
        described = re.sub(r"``([^`]+)``", r"`\1`", part.get("description", ""))
        lines += [f"## {name}", "", described, "", "| field | type |", "|---|---|"]
        lines += [f"| `{key}` | {cell(_json_type(value))} |" for key, value in part["properties"].items()]
        lines.append("")
    return "\n".join(lines)


def _json_type(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_json_type(option) for option in value["anyOf"])
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if value.get("type") == "array" and "items" in value:
        return f"list of {_json_type(value['items'])}"
    return str(value.get("const") or value.get("type") or "anything")


def python_page() -> str:
    """The public names, with the directives that mkdocstrings fills in."""
    import boltzgen

    lines = [
        "# Python",
        "",
        "The public names of `import boltzgen`; [examples](../python.md) are elsewhere.",
        "",
    ]
    for name in boltzgen.__all__:
        member = getattr(boltzgen, name)
        module = boltzgen._PUBLIC[name]
        lines += [f"::: {module}.{name}", ""]
        if inspect.isclass(member) and not issubclass(member, BaseModel):
            lines += ["    options:", "      inherited_members: true", ""]
    return "\n".join(lines)


PAGES = {
    "reference/command-line.md": command_line_page,
    "reference/settings.md": settings_page,
    "reference/summary.md": summary_page,
    "reference/python.md": python_page,
}
