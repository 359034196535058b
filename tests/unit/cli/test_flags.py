"""Rooms below the command line quote fields; the command line alone speaks of flags."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

import holdfast
from holdfast.cli.app import app
from holdfast.cli.main import main
from holdfast.cli.shell.flags import flag_of, take_fields, with_flags
from holdfast.commands.tune import tune
from holdfast.errors import ConfigError
from holdfast.inputs.configs import AnalyzeConfig, EvaluateConfig, RepairConfig, TuneConfig

SOURCE = Path(holdfast.__path__[0])


def own_flags(command) -> set[str]:
    """Every flag of a command and of those below it."""
    found = {flag for param in command.params for flag in param.opts if flag.startswith("--")}
    return found.union(*(own_flags(each) for each in getattr(command, "commands", {}).values()))


FLAGS = own_flags(get_command(app))


def said(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and text of every string that is no docstring; what is put in is ``%s``."""
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "%s" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant):
            yield node.lineno, f"{node.left.value}%s"
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            yield node.lineno, node.value


def flags_in(source: str) -> list[str]:
    """Return our flags in the strings of a module, and flags that are put together."""
    return [
        f"line {line}: {flag}"
        for line, text in said(ast.parse(source))
        for flag in re.findall(r"--(?:[a-z][a-z-]*|%s)", text)
        if flag in FLAGS or flag == "--%s"
    ]


def test_no_room_below_the_command_line_speaks_of_flags():
    below = [path for path in SOURCE.rglob("*.py") if "cli" not in path.relative_to(SOURCE).parts]
    found = {str(path): flags_in(path.read_text(encoding="utf-8")) for path in below}
    assert len(found) > 150
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "planted",
    [
        'raise ConfigError("the folder exists: add --overwrite")',
        'raise ConfigError(f"give it as --{key} FILE")',
        'say("--" + name.replace("_", "-"))',
        'say("--%s FILE" % name)',
        'source("harmful", path, "--harmful-columns")',
    ],
)
def test_a_planted_flag_is_found(planted):
    assert len(flags_in(f'"""Docs may say --overwrite."""\n{planted}\n')) >= 1


def command_of(name: str):
    return get_command(app).commands[name]


def test_quoted_fields_become_flags():
    assert flag_of("max_new_tokens") == "--max-new-tokens"
    take_fields(command_of("tune"))
    text = "`output=a b`: exists: add `overwrite=True`; see `holdfast list`, `labels` and `set=a=1`"
    told = "--output a b: exists: add --overwrite; see `holdfast list`, `labels` and --set a=1"
    assert with_flags(text) == told
    assert with_flags("lower `max_new_tokens`, `") == "lower --max-new-tokens, `"


def test_only_fields_of_the_running_command_become_flags():
    text = "`out=a`: give `harmful=FILE` and `dry_run=True`"
    take_fields(command_of("bench"))
    assert with_flags(text) == "--out a: give `harmful=FILE` and --dry-run"
    take_fields(None)
    assert with_flags(text) == text


@pytest.mark.parametrize("config", [TuneConfig, RepairConfig, EvaluateConfig, AnalyzeConfig])
def test_every_field_of_a_config_is_known(config):
    take_fields(command_of(config.__name__.removesuffix("Config").lower()))
    for item in fields(config):
        assert with_flags(f"`{item.name}`") == flag_of(item.name)


def test_from_python_an_error_names_the_field(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(ConfigError) as caught:
        tune(TuneConfig(model="m", data="d", output=tmp_path / "out"))
    out = tmp_path / "out"
    assert str(caught.value).startswith(f"`output={out}`: the folder exists: add `overwrite=True`")


def test_a_group_s_command_names_its_own_flags(tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).touch()
    assert main(["organism", "build", "--out", str(tmp_path / "x")]) == 2
    assert capsys.readouterr().err.startswith(f"error: --out {tmp_path / 'x'}: ")
