"""Defenses of other installed packages, declared in the entry-point group ``holdfast.defenses``.

A broken one harms nothing else: why it cannot be used is kept, and raised when it is asked for.
"""

import hashlib
import inspect
import re
import sys
from collections.abc import Collection, Iterator
from contextlib import redirect_stdout, suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, get_type_hints

from holdfast.defense import Card, Defense
from holdfast.errors import ConfigError

__all__ = ["GROUP", "code_of", "declared", "forget", "load", "unusable", "usable"]

GROUP = "holdfast.defenses"
RESERVED = frozenset({"before", "none"})
"""Names that mean something else in a recipe."""
CELL_WORDS = frozenset({"name", "code"})
"""Words beside the hyperparameters in what a bench's cell hangs on."""


@cache
def declared() -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of the group by name, in the order of the names; nothing is loaded.

    More than one of a name are two packages that exclude each other.
    """
    found: dict[str, dict[str, EntryPoint]] = {}
    for entry in _entries():
        # The first on the path of a package that is there twice is the one that Python imports.
        found.setdefault(entry.name, {}).setdefault(_package(entry), entry)
    return {name: tuple(found[name].values()) for name in sorted(found)}


def _entries() -> Iterator[EntryPoint]:
    for distribution in distributions():
        # importlib.metadata.entry_points() fails for all if one package's file is malformed.
        with suppress(Exception):
            yield from distribution.entry_points.select(group=GROUP)


def load(name: str) -> type[Defense]:
    """Return the class that is declared under this name.

    Raises:
        ConfigError: It cannot be used; the message names the package and says how to mend it.
    """
    found = _loaded(name)
    if isinstance(found, str):
        raise ConfigError(found)
    return found


def usable(taken: Collection[str]) -> dict[str, type[Defense]]:
    """Return every installed defense that works, by name; ``taken`` names are not replaced."""
    found = {name: _loaded(name) for name in declared() if name not in taken}
    return {name: cls for name, cls in found.items() if not isinstance(cls, str)}


def unusable(taken: Collection[str]) -> dict[str, str]:
    """Return why an installed defense cannot be used, by name, for every such one."""
    found: dict[str, str] = {}
    for name, entries in declared().items():
        said = _loaded(name) if name not in taken else _told(
            entries, "the name is a built-in defense's and those are not replaced; give the entry "
            "point and the card another name",
        )  # fmt: skip
        if isinstance(said, str):
            found[name] = said
    return found


def code_of(cls: type[Defense]) -> dict[str, str]:
    """Return the SHA-256 of the file an installed defense is written in; nothing for ours.

    It is that of the code as it was loaded: a file edited during a bench changes no cell of it.

    Raises:
        ConfigError: The file cannot be read.
    """
    if cls.__module__.partition(".")[0] == "holdfast":
        return {}
    try:
        return {"code": _digest(cls)}
    except (OSError, TypeError) as error:
        raise ConfigError(
            f"the code of {cls.card.name} ({cls.__module__}:{cls.__qualname__}) cannot be read "
            f"({error}), so results of it could not be told from those of other code; install it "
            "as files"
        ) from error


def forget() -> None:
    """Look again at what is installed; modules that were imported stay imported."""
    for cached in (declared, _loaded, _digest):
        cached.cache_clear()


@cache
def _digest(cls: type[Defense]) -> str:
    return hashlib.sha256(Path(inspect.getfile(cls)).read_bytes()).hexdigest()


@cache
def _loaded(name: str) -> type[Defense] | str:
    """Return the class, or why it cannot be used."""
    entry, *others = declared()[name]
    entries = [entry, *others]
    if others:
        return _told(entries, "one name means one defense; uninstall one or rename it")
    try:
        with redirect_stdout(sys.stderr):  # What a module prints must not mix with --json.
            found = entry.load()
        fault = _fault(found, name)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # It is somebody else's module.
        return _told(
            entries,
            f"it cannot be loaded ({' '.join(f'{type(error).__name__}: {error}'.split())}); mend "
            f"it (python -c 'import {entry.value.partition(':')[0]}' shows where it fails) or "
            "uninstall it",
        )
    if fault:
        return _told(entries, fault)
    with suppress(OSError, TypeError):
        _digest(found)  # Of the code as it was loaded, whatever is written there later.
    return found


def _told(entries: Collection[EntryPoint], fault: str) -> str:
    where = " and ".join(f"{e.value} of the package {_package(e)}" for e in entries)
    name = next(iter(entries)).name
    return f"the installed defense {name!r} cannot be used ({GROUP} entry point {where}): {fault}"


def _package(entry: EntryPoint) -> str:
    return str(entry.dist.metadata["Name"]) if entry.dist else "of unknown name"


def _fault(found: Any, name: str) -> str:
    """Return what keeps ``found`` from being the defense of this name and how to mend it, or ""."""
    if not (isinstance(found, type) and issubclass(found, Defense)):
        return "it is no subclass of holdfast.Defense; declare the class itself, MODULE:CLASS"
    card = getattr(found, "card", None)
    if not isinstance(card, Card):
        return "it has no card; add card: ClassVar[Card] = Card(...)"
    if card.name != name:
        return f"its card has name={card.name!r}; give entry point and card the same name"
    if name in RESERVED or not re.fullmatch("[a-z][a-z0-9_]*", name):
        return (
            "the name must be small letters, digits and _, and none of "
            f"{', '.join(sorted(RESERVED))}; give entry point and card another"
        )
    return _fault_of_fields(found)


def _fault_of_fields(cls: type[Defense]) -> str:
    if not is_dataclass(cls):
        return "it is no dataclass; write @dataclass above the class"
    get_type_hints(cls)  # Raises where a field's type does not exist at run time.
    given = [f for f in fields(cls) if f.init]
    bare = [f.name for f in given if f.default is MISSING and f.default_factory is MISSING]
    if bare:
        return f"{', '.join(bare)} must have a default; data sets default to None"
    hidden = [f.name for f in given if f.name in CELL_WORDS]
    return f"a field cannot be called {' or '.join(hidden)}; rename it" if hidden else ""
