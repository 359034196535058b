"""The section ``holdfast:`` of another trainer's YAML file: which defenses, and their data."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from holdfast.data.columns import columns_of
from holdfast.defense import Defense
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.idle import refuse_idle
from holdfast.inputs.guards.network import local_only, texts_in
from holdfast.inputs.rows import DEFENDER, source
from holdfast.inputs.sources.kits import with_kits
from holdfast.inputs.specs import build_defenses, specs_of, unused_data
from holdfast.training.trainer import protect

__all__ = ["SECTION", "Plan"]

SECTION = "holdfast"
_KEYS = ("defenses", *DEFENDER, "harmful_columns", "artifacts")


@dataclass(frozen=True)
class Plan:
    """Defenses with their data, ready for a trainer."""

    defenses: tuple[Defense, ...]
    artifacts: Path | None = None
    """Folder for what is kept apart from the model; beside the output by default."""
    notes: tuple[str, ...] = ()
    """What of the section's data is not read, and what is odd in it."""

    @classmethod
    def read(cls, section: Any) -> "Plan":
        """Read the section; every option and file of it is checked before a model is loaded.

        ``defenses`` is a list of ``NAME[:key=value,...]`` as ``--defense`` takes it; ``harmful``,
        ``safe``, ``alignment``, ``benign`` and ``validation`` name data as the options of
        ``holdfast tune`` do; ``artifacts`` is a folder.

        Raises:
            ConfigError: A key is unknown, no defense is named, or one is wrong or lacks data.
            DataError: The rows of a file cannot be read.
        """
        given = _section(section)
        named = _named(given.get("defenses"))
        config = _config(given, named)
        specs = specs_of(config)
        columns = columns_of(config.harmful_columns, "harmful_columns")
        with local_only(texts_in(given)):
            config = with_kits(config)
            refuse_idle(config)
            found = [
                source(role, getattr(config, role), columns if role == "harmful" else None)
                for role in DEFENDER
            ]
        rows = {each.role: each.rows for each in found if each is not None}
        defenses = build_defenses(specs, rows)
        if unused := unused_data(defenses, rows):
            raise ConfigError(
                f"{SECTION}: `{unused[0]}` is given and no defense of the list uses it: leave it "
                "out, or add the defense"
            )
        artifacts = given.get("artifacts")
        notes = tuple(told for each in found if each is not None for told in each.warnings())
        return cls(defenses, Path(artifacts) if artifacts else None, notes)

    def protect(self, trainer: Any) -> Any:
        """Add the defenses to a trainer, in place; see ``holdfast.protect``.

        What is to be known of their data goes to stderr, once: the trainer has no report of ours.
        """
        if trainer.is_world_process_zero():
            sys.stderr.writelines(f"{SECTION}: {note}\n" for note in self.notes)
        return protect(trainer, self.defenses, self.artifacts)


def _section(section: Any) -> dict[str, Any]:
    """Return the section with known keys alone; what is empty is not given."""
    if not isinstance(section, Mapping):
        raise ConfigError(
            f"{SECTION}: is {type(section).__name__}, not a mapping: give it defenses: [NAME, ...]"
        )
    given = {str(key): value for key, value in section.items() if value is not None}
    for key, value in given.items():
        if key not in _KEYS:
            raise ConfigError(
                f"{SECTION}: unknown key {key!r}, known: {', '.join(_KEYS)}.{nearest(key, _KEYS)}"
            )
        if key != "defenses" and not isinstance(value, str):
            raise ConfigError(f"{SECTION}: {key} is {value!r}: give a text")
    return given


def _config(given: Mapping[str, Any], named: list[str]) -> TuneConfig:
    """Return what ``holdfast tune`` would be given; the trainer has a model and rows of its own."""
    section = {key: value for key, value in given.items() if key not in ("defenses", "artifacts")}
    config = TuneConfig(model="", data="", output=Path(), defense=named, **section)
    check_given(replace(config, artifacts=given.get("artifacts")))
    return config


def _named(defenses: Any) -> list[str]:
    """Return the specs of a list, or of one text."""
    listed = [defenses] if isinstance(defenses, str) else defenses
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        raise ConfigError(f"{SECTION}: defenses is {defenses!r}: give a list of NAME[:key=value,…]")
    if not listed:
        raise ConfigError(f"{SECTION}: defenses is empty: name one, or leave the section out")
    return list(listed)
