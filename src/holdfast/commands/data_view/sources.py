"""Which source is looked at, and which safety sets it must not share prompts with."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from holdfast.data.columns import with_columns
from holdfast.data.kits import chosen, kits, named_kit
from holdfast.data.kits.local import local_file
from holdfast.data.kits.registry import PREFIX
from holdfast.data.overview.overlap import Overlap, overlap_of
from holdfast.data.prompts import prompts_in
from holdfast.errors import ConfigError

__all__ = ["overlaps", "prompts_of", "safety_sets", "source_of"]

SAFETY = ("harmful", "test_harmful")
"""What the parts of a kit serve as whose prompts are harmful."""


def source_of(given: str) -> tuple[str, dict[str, str] | None]:
    """Return a file, hub id or part of a kit, and the columns that stand behind it.

    Raises:
        ConfigError: A kit has several parts and none is named, or there is no such part.
    """
    source, columns = with_columns(given)
    if not named_kit(source):
        return source, columns
    name = source.removeprefix(PREFIX).partition("@")[0]
    if "/" in name or name not in kits():
        return chosen(source, None, "against").source, columns
    parts = list(kits()[name].parts)
    if len(parts) > 1:
        named = ", ".join(f"{name}/{part}" for part in parts)
        raise ConfigError(f"{given}: the kit has several parts: give one, {named}")
    return chosen(f"{name}/{parts[0]}", None, "against").source, columns


def overlaps(rows: Sequence[Mapping[str, Any]], against: Sequence[str]) -> list[Overlap]:
    """Return what rows share with each set that is given, and with the safety sets that lie here.

    Raises:
        InputError: A set that is given cannot be read.
    """
    found = [overlap_of(rows, prompts_of(given), given) for given in against]
    local = (overlap_of(rows, prompts, name) for name, prompts in safety_sets())
    return [*found, *(each for each in local if each.same or each.alike)]


def safety_sets() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name and the prompts of each harmful set of a kit that has a local copy."""
    yield from ((name, prompts_in(source)) for name, source in _local())


def prompts_of(given: str) -> list[dict[str, Any]]:
    """Return the prompts of a file, a hub id or a kit.

    Raises:
        InputError: It cannot be read.
    """
    source, columns = source_of(given)
    return prompts_in(source, columns)


def _local() -> Iterator[tuple[str, str]]:
    """Yield the name and the source of each part of a kit with harmful prompts and a local copy."""
    for kit in kits().values():
        for part in dict.fromkeys(kit.roles[role] for role in SAFETY if role in kit.roles):
            if local_file(kit.parts[part]) is not None:
                name = f"{kit.name}/{part}"
                yield name, chosen(name, None, "against").source
