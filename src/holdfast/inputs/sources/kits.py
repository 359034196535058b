"""Kits in a command's config: names become sources, and ``kit`` fills what is not given.

A file or folder of that name always wins; then ``harmful=advbench`` is the part of the kit that
serves as what the field takes.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from holdfast.data.columns import file_of
from holdfast.data.kits import Chosen, Part, chosen, kits, named_kit
from holdfast.data.kits.local import local_file
from holdfast.data.kits.registry import PREFIX
from holdfast.errors import ConfigError, nearest
from holdfast.inputs.configs import AnalyzeConfig, EvaluateConfig
from holdfast.inputs.rows import DEFENDER
from holdfast.inputs.yaml_files import mapping_in, text_of

__all__ = ["hub_ids", "kit_rows", "with_kits"]

_ASKED = {kind: f"test_{kind}" for kind in ("harmful", "safe", "task", "useful")}
_FIELDS = {each: each for each in ("data", "eval_data", *DEFENDER)} | {
    f"test_{kind}": f"test_{kind}" for kind in _ASKED
}
"""What rows of a field serve as; of kits for ``eval_data`` and ``lookalike`` a part is named."""
_PROMPTS = {
    "harmful": "test_harmful", "harmful_ood": "test_harmful",
    "benign": "benign", "benign_ood": "benign",
}  # fmt: skip
_LOOKED_AT = ("file", "against", "reference")
C = TypeVar("C")


def with_kits(config: C, needed: frozenset[str] = frozenset()) -> C:
    """Return ``config`` with the source of each kit in place of its name.

    Args:
        config: A command's config.
        needed: The defender's data sets that a defense of the list takes: ``kit`` fills those
            alone, and the questions.

    Raises:
        ConfigError: A name is neither a file nor a kit, the kit has no rows of the kind, or ``kit``
            names sets for nothing that is read here.
    """
    _refuse_idle(config, needed)
    return replace(config, **{name: found.source for name, found in _found(config, needed)})  # type: ignore[type-var]


def kit_rows() -> list[dict[str, str]]:
    """Return one row of words for each kit: what it serves as, its licence, where it is read."""
    return [
        {
            "name": kit.name,
            "serves as": ", ".join(kit.roles),
            "licence": kit.licence,
            "read from": ", ".join(sorted({_place(part) for part in kit.parts.values()})),
        }
        for kit in kits().values()
    ]


def _place(part: Part) -> str:
    file = local_file(part)
    if file is not None:
        return file.name
    if part.hub is None:
        return "no local copy"
    return f"hub {part.hub.id}{' (gated)' if part.hub.gated else ''}"


def hub_ids(config: Any) -> list[str]:
    """Return the hub ids that the kits of a config would be read from; [] where all are here."""
    by_role = any(hasattr(config, name) for name in _FIELDS)
    found = _found(config, frozenset(_FIELDS)) if by_role else ()
    parts = [*(each.part for _, each in found), *_looked_at(config)]
    return [part.hub.id for part in parts if part.hub is not None and local_file(part) is None]


def _looked_at(config: Any) -> Iterator[Part]:
    """Yield the parts of the kits that ``data`` and ``screen`` read, whatever they serve as."""
    for name in _LOOKED_AT:
        given = getattr(config, name, None)
        for text in [given] if isinstance(given, str) else given if isinstance(given, list) else ():
            word = file_of(str(text))
            if named_kit(word):
                whole = kits().get(word.removeprefix(PREFIX).partition("@")[0])
                yield from whole.parts.values() if whole else [chosen(word, None, name).part]


def _found(config: Any, needed: frozenset[str]) -> Iterator[tuple[str, Chosen]]:
    """Yield the fields that name a kit, and those that ``kit`` fills, each with the kit's part."""
    names, filled = _roles(config), _set_of(config)
    for name, role in names.items():
        given = getattr(config, name)
        if isinstance(given, str):
            _refuse_misspelt(name, given)
            if named_kit(given):
                yield name, chosen(given, role, name)
        elif role in filled and (role in needed or role.startswith("test_")):
            yield name, _first(filled[role], role)


def _refuse_idle(config: Any, needed: frozenset[str]) -> None:
    """Raise where ``kit`` fills nothing, whatever else is given."""
    filled, roles = _set_of(config), dict.fromkeys(_roles(config).values())
    taken = [role for role in roles if role in needed or role.startswith("test_")]
    if filled and not set(filled) & set(taken):
        raise ConfigError(
            f"`kit={config.kit}`: nothing here takes what it names kits for ({', '.join(filled)}): "
            f"name them for {', '.join(taken)}, or leave it out"
        )


def _roles(config: Any) -> dict[str, str]:
    """Return what the rows of each field of this config serve as."""
    # A red team's questions are an evaluation's, too.
    asked = _ASKED | {"task_rows": "data"}
    roles = asked if isinstance(config, EvaluateConfig) else _FIELDS
    roles = _PROMPTS if isinstance(config, AnalyzeConfig) else roles
    present = {field.name for field in fields(config)}
    return {name: role for name, role in roles.items() if name in present}


def _refuse_misspelt(field: str, given: str) -> None:
    """Raise where a bare word is no file and resembles a kit's name."""
    word = file_of(given)
    if not word.replace("-", "").isalnum() or named_kit(word) or os.path.exists(word):  # noqa: PTH110
        return
    hint = nearest(word, kits())
    if hint:
        known = ", ".join(kits())
        said = f"is neither a file nor a kit.{hint} Kits: {known}"
        raise ConfigError(f"`{field}={given}`: {said}")


@cache
def _sets() -> dict[str, Any]:
    text = files("holdfast.data.kits.catalogue").joinpath("sets.yml").read_text("utf-8")
    return mapping_in(text, "sets.yml")


def _set_of(config: Any) -> Mapping[str, list[str]]:
    """Return which kits ``kit`` brings, by role, the likeliest first."""
    name = getattr(config, "kit", None)
    if name is None:
        return {}
    where = f"`kit={name}`"
    found: Any = _sets().get(name)
    if found is None and Path(name).is_file():
        found = mapping_in(text_of(Path(name), where), where)
    if found is None:
        known = ", ".join(_sets())
        hint = nearest(name, _sets())
        raise ConfigError(
            f"{where}: unknown set, known: {known}.{hint} Give one, or a YAML file of ROLE: KIT"
        )
    listed = {role: [kit] if isinstance(kit, str) else kit for role, kit in found.items()}
    if not listed:
        raise ConfigError(f"{where}: names no kit: expected ROLE: KIT, such as harmful: advbench")
    for role, named in listed.items():
        names = isinstance(named, list) and named and all(isinstance(one, str) for one in named)
        if role not in _FIELDS.values() or not names:
            raise ConfigError(f"{where}: {role} is no ROLE: KIT; roles are {', '.join(_FIELDS)}")
    return listed


def _first(names: list[str], role: str) -> Chosen:
    """Return the first of the kits that has a local copy, or else the first."""
    found = [chosen(name, role, "kit") for name in names]
    return next((each for each in found if local_file(each.part) is not None), found[0])
