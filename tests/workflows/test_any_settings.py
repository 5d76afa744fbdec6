"""Whatever the settings: a run that its TOML file repeats, or an InputError; never another exception."""

import tomllib
from pathlib import Path

import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from boltzgen.settings import validated
from boltzgen.training.families import FAMILIES
from boltzgen.workflows.config import SampleConfig, config_toml, read_config, require_sane
from tests.fuzzing import damaged, fuzz, read_or_refused

NUMBERS = st.one_of(
    st.integers(), st.integers(-3, 1000), st.floats(), st.floats(0.0, 1.0), st.sampled_from([10**30, -0.0])
)
WORDS = st.one_of(
    st.text(max_size=20), st.sampled_from(["auto", "off", "cpu", "cuda:99", "", "CCO", *FAMILIES])
)
WILD = st.one_of(
    st.none(), st.booleans(), NUMBERS, WORDS, st.lists(NUMBERS, max_size=3), st.binary(max_size=4)
)


def settings_of(schema: type[BaseModel], depth: int = 2):
    """Some settings of ``schema`` with wild values, nested as it is, and now and then an unknown one."""
    fields = {}
    for name, field in schema.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        inner = settings_of(field.annotation, depth - 1) if nested and depth else WILD
        fields[name] = st.one_of(inner, WILD) if nested else inner
    few = st.lists(st.sampled_from([*fields, "unknown"]), max_size=3, unique=True)
    return few.flatmap(lambda names: st.fixed_dictionaries({name: fields.get(name, WILD) for name in names}))


@given(settings_of(SampleConfig))
@example({"temperature": float("nan")})
@example({"temperature": 1e300, "n_samples": 10**30})
@example({"budget_seconds": float("inf")})
@example({"seed": 99999999999999999999999})
@example({"reference": "a\0b"})
@example({"molecule": "CC\nO", "model_settings": {"spline_bins": 3}})
@example({"model": "vae", "training": {"objective": "guided"}})
@fuzz(150)
def test_settings_are_refused_or_come_back_from_their_file(tmp_path_factory, changes):
    config = read_or_refused(lambda: validated(SampleConfig, **({"molecule": "CCO"} | changes)))
    if config is None or read_or_refused(lambda: require_sane(config) or config) is None:
        return
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(config_toml(config), encoding="utf-8")
    assert read_config(path) == config
    assert config.n_samples >= 1
    assert 0.0 < config.temperature < float("inf")
    assert config.seed >= 0


@given(st.dictionaries(st.text(max_size=8), st.one_of(NUMBERS, WORDS, st.booleans()), max_size=4))
@fuzz(150)
def test_other_toml_files_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(tomli_w.dumps(content).encode())
    refused_or_right(path)


@given(damaged(config_toml(SampleConfig(molecule="CCO")).encode()))
@fuzz(300)
def test_a_damaged_file_is_refused_or_read_as_it_stands(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(content)
    refused_or_right(path)


def refused_or_right(path: Path):
    """A file is refused in one sentence, or every setting that it has is the run's."""
    config = read_or_refused(lambda: read_config(path))
    if config is None:
        return
    for name, value in tomllib.loads(path.read_text(encoding="utf-8")).items():
        read = config.model_dump(mode="json", exclude_none=True)[name]
        assert read == value or isinstance(value, dict)
