"""Options of rows that are not given, or that are made and not read: they would change nothing."""

from dataclasses import fields
from typing import Any

from holdfast.data.kits import is_kit
from holdfast.errors import ConfigError
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.rows import ORGANISM, QUESTIONS

__all__ = ["refuse_idle"]

_OF = {
    "columns": "data", "split": "data",
    "harmful_columns": "harmful", "harmful_limit": "harmful",
}  # fmt: skip
"""Options of how rows are read, by the field that names the rows."""


def refuse_idle(config: Any) -> None:
    """Raise ``ConfigError`` where an option says how to read rows that no file of theirs holds."""
    if isinstance(config, EvaluateConfig):
        _refuse_unasked(config)
    defaults = {item.name: item.default for item in fields(config)}
    for name, rows in _OF.items():
        if {name, rows} - defaults.keys() or getattr(config, name) == defaults[name]:
            continue
        shown, source = f"`{name}={getattr(config, name)}`", getattr(config, rows)
        if source is None:
            raise ConfigError(f"{shown} says how to read `{rows}`, which is not given: add it")
        if _unread(name, source) and not (name == "columns" and _measured(config)):
            raise ConfigError(
                f"{shown}: the rows of `{rows}={source}` are not read by it: leave it out"
            )


def _refuse_unasked(config: EvaluateConfig) -> None:
    """Raise where ``columns`` are of no file: no question comes from one, or all are a kit's."""
    if config.columns is None:
        return
    given = [path for kind in QUESTIONS if (path := getattr(config, kind)) is not None]
    if all(map(is_kit, given)):
        whose = (
            "those of the kits are known: leave it out" if given else "and none is given: add it"
        )
        raise ConfigError(
            f"`columns={config.columns}` names columns of a file of questions, {whose}"
        )


def _unread(name: str, source: str) -> bool:
    """Tell whether an option says nothing of a source: the organism's rows, or a kit's columns."""
    return name != "harmful_limit" and (
        source == ORGANISM or (name.endswith("columns") and is_kit(source))
    )


def _measured(config: Any) -> bool:
    """Tell whether ``columns`` are those of a file of evaluation rows."""
    return config.eval_data is not None and not _unread("columns", config.eval_data)
