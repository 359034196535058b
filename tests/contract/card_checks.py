"""What a defense's card, fields and ``card.md`` must say before it may be registered."""

import json
import os
import re
import tempfile
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from holdfast.cli.shell.field_docs import field_docs
from holdfast.defense import HOOKS, Defense, implements
from holdfast.errors import ConfigError
from holdfast.testing.checks import Make
from holdfast.testing.defenses import check_card

__all__ = [
    "HEADINGS", "check_card", "check_card_file", "check_config", "check_constructor",
    "check_example", "check_fields",
]  # fmt: skip
HEADINGS = (
    "## What it does", "## The equation", "## When to use it", "## Defaults and their sources",
    "## Deviations", "## Measured", "## Limits", "## Example",
)  # fmt: skip
_EXAMPLE = re.compile(r"^## Example$.*?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _fields(cls: type[Defense]) -> tuple[Field[Any], ...]:
    assert is_dataclass(cls), f"{cls.__name__} is no dataclass"
    return fields(cls)


def check_fields(cls: type[Defense]) -> None:
    """No field hides a hook; each is explained; learned ones end in ``_`` and are no argument."""
    docs = field_docs(cls)
    for f in _fields(cls):
        assert f.name not in HOOKS, f"the field {f.name} hides the hook of that name"
        if f.name.startswith("_"):
            assert not f.init, f"{f.name} is an argument and hidden"
            continue
        assert docs.get(f.name), f"{f.name} has no docstring under it"
        learned = f.name.endswith("_")
        assert f.init != learned, (
            f"{f.name}: learned fields, and only they, end in _ with init=False"
        )
        given = f.default is not MISSING or f.default_factory is not MISSING
        assert given, f"{f.name} has no default"
    learned = {f.name for f in _fields(cls) if f.name.endswith("_")}
    assert cls.private <= learned, f"private {cls.private - learned} are no learned fields"


def check_constructor(cls: type[Defense]) -> None:
    """``__init__`` has no logic; ``validate`` refuses what is missing, except when off."""
    assert not hasattr(cls, "__post_init__"), "a constructor has no logic; use validate()"
    for f in _fields(cls):
        if f.name in cls.card.data:
            assert f.default is None, f"data {f.name} must default to None"
    cls(**{cls.card.strength: cls.card.off}).validate()
    _refused(cls, {cls.card.strength: -1.0})
    if cls.card.data:
        _refused(cls, {})


def _refused(cls: type[Defense], options: dict[str, Any]) -> None:
    said = ""
    try:
        cls(**options).validate()
    except ConfigError as error:
        said = str(error)
    assert said, f"{cls.__name__}({options}) is not refused by validate()"
    assert cls.card.name in said, f"the error does not name {cls.card.name}: {said}"
    assert "\n" not in said, f"more than one line: {said}"


def check_config(make: Make) -> None:
    """Hyperparameters are JSON, data sets are left out, and each idle hook is one that exists."""
    defense = make()
    config = json.loads(json.dumps(defense.config()))
    assert not set(config) & set(defense.card.data), "config() holds a data set"
    assert defense.idle() <= set(HOOKS), f"idle() names no hook: {defense.idle() - set(HOOKS)}"
    assert any(implements(defense, hook) for hook in HOOKS), "it uses no hook"


def check_card_file(file: Path) -> None:
    """``card.md`` exists, has every heading in order and a Python example."""
    assert file.is_file(), f"{file} is missing"
    text = file.read_text()
    found = [line for line in text.splitlines() if line in HEADINGS]
    missing = [h for h in HEADINGS if h not in found]
    assert not missing, f"{file} has no {', '.join(missing)}"
    assert found == list(HEADINGS), f"{file}: headings stand in another order: {found}"
    for heading, below in zip(HEADINGS, _sections(text), strict=True):
        assert below.strip(), f"{file}: nothing under {heading}"
    example_of(file)


def _sections(text: str) -> list[str]:
    return re.split("|".join(f"^{re.escape(h)}$" for h in HEADINGS), text, flags=re.MULTILINE)[1:]


def example_of(file: Path) -> str:
    """Return the Python code under ``## Example``."""
    found = _EXAMPLE.search(file.read_text())
    assert found, f"{file} has no ```python block under ## Example"
    return found[1]


def check_example(file: Path) -> None:
    """The example runs, in an empty folder of its own."""
    code, home = compile(example_of(file), str(file), "exec"), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            exec(code, {"__name__": "__example__"})  # noqa: S102 (our own file)
        finally:
            os.chdir(home)
