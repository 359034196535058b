import inspect
from dataclasses import dataclass, field, fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from holdfast.cli.shell.field_docs import docs_in, field_docs
from holdfast.cli.shell.options import JsonFlag, takes
from holdfast.defenses import built_in
from holdfast.inputs.configs import ALSO, EvaluateConfig, RepairConfig, TuneConfig, also


@dataclass(kw_only=True)
class Base:
    """What commands share."""

    shared: int = 3
    """Shared by
    two lines."""


@dataclass(kw_only=True)
class Config(Base):
    """A config."""

    needed: str
    """What is needed."""
    many_things: list[str] = field(default_factory=list[str])
    """Repeatable."""
    folder: Path | None = None
    """A folder."""
    flag: bool = False
    """A flag."""
    most: int | None = also("highest")
    """A number."""


def run(*argv: str) -> tuple[list[object], str]:
    seen: list[object] = []

    @takes(Config)
    def command(config: Config, json: JsonFlag = False) -> None:
        """Say it."""
        seen.extend([config, json])

    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command()(command)
    return seen, CliRunner().invoke(app, list(argv)).output


def test_fields_become_options():
    argv = ["--needed", "x", "--many-things", "a", "--many-things", "b", "--folder", "f", "--flag"]
    [config, json], _ = run(*argv, "--json")
    assert config == Config(needed="x", many_things=["a", "b"], folder=Path("f"), flag=True)
    assert json is True
    [config, json], _ = run("--needed", "x")
    assert config == Config(needed="x")
    assert json is False


def test_a_field_may_have_a_second_flag():
    for flag in ("--most", "--highest"):
        [config, _], _ = run("--needed", "x", flag, "3")
        assert config == Config(needed="x", most=3)


def test_evaluate_takes_the_names_that_tune_has_for_questions():
    tune = {each.name for each in fields(TuneConfig)}
    second = {each.metadata.get(ALSO): each.name for each in fields(EvaluateConfig)}
    asked = {name for name in tune if name.startswith("test_")}
    assert asked == second.keys() - {None}
    assert all(also == f"test_{name}" for also, name in second.items() if also)


def test_docstrings_are_the_help_and_shared_options_come_last():
    _, text = run("--help")
    assert "What is needed." in text
    assert "Shared by two lines." in " ".join(text.split())
    assert text.index("--needed") < text.index("--flag") < text.index("--shared")


def test_docs_follow_fields_only():
    body = ["'Doc.'", "a: int = 1", "'An a.'", "b: int", "c = 3", "'No.'"]
    source = "\n    ".join(["class A:", *body])
    assert docs_in(source, "A") == {"a": "An a."}
    assert docs_in(source, "B") == {}


@pytest.mark.parametrize("config", [TuneConfig, RepairConfig, EvaluateConfig])
def test_every_option_of_every_command_has_a_help_text(config):
    docs = field_docs(config)
    for name in inspect.signature(config).parameters:
        assert docs[name].endswith("."), name


@pytest.mark.parametrize("config", [TuneConfig, RepairConfig])
def test_help_of_a_role_names_all_defenses_that_read_it_or_none(config):
    """--safe was told to be for safe_mixing, and ten more asked for it."""
    docs = field_docs(config)
    for role in ("harmful", "safe", "alignment", "benign", "lookalike", "validation"):
        own = {name for name, cls in built_in().items() if role in cls.card.data}
        named = {name for name in built_in() if name in docs.get(role, "").replace(",", "").split()}
        assert named in (set(), own), role
