"""What is known by name: our own things of one kind, then those that installed packages declare.

A broken one harms nothing else: why it cannot be used is kept, and raised when it is asked for.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions
from typing import Any, Generic, TypeVar

from holdfast.errors import ConfigError, nearest

__all__ = ["Registry"]

Thing = TypeVar("Thing")
Entries = tuple[EntryPoint, ...]


@dataclass(eq=False)
class Registry(Generic[Thing]):
    """Things of one kind by name; the names of our own cannot be taken.

    Attributes:
        group: The entry-point group in which other packages declare theirs.
        kind: What an error calls one of them.
        own: Ours.
        fault: Returns what keeps a loaded object from being the one of this name, the member that
            is wrong and how to mend it; "" where nothing does.
        reserved: Names that mean something else.
    """

    group: str
    kind: str
    own: Mapping[str, Thing]
    fault: Callable[[Any, str], str]
    reserved: frozenset[str] = frozenset()
    _declared: dict[str, Entries] | None = field(default=None, init=False)
    _loaded: dict[str, Thing | str] = field(default_factory=dict[str, Any], init=False)

    def all(self) -> dict[str, Thing]:
        """Return every one that works: ours, then installed ones in the order of their names."""
        found = {name: self._load(name) for name in self.declared() if name not in self.own}
        usable = {name: thing for name, thing in found.items() if not isinstance(thing, str)}
        return {**self.own, **usable}

    def find(self, name: str) -> Thing:
        """Return the one of this name.

        Raises:
            ConfigError: There is none (the message suggests the nearest), or it is an installed
                one that cannot be used; then the message names its package and how to mend it.
        """
        if name in self.own:
            return self.own[name]
        if name not in self.declared():
            known = self.all()
            hint = nearest(name, [*known, *self.declared()])
            raise ConfigError(f"unknown {self.kind} {name!r}; known: {', '.join(known)}.{hint}")
        found = self._load(name)
        if isinstance(found, str):
            raise ConfigError(found)
        return found

    def unusable(self) -> dict[str, str]:
        """Return why an installed one cannot be used, by name, for every such one."""
        told = {name: self._load(name) for name in self.declared()}
        return {name: why for name, why in told.items() if isinstance(why, str)}

    def declared(self) -> dict[str, Entries]:
        """Return the entry points of the group by name, in order; nothing is loaded.

        More than one of a name are two packages that exclude each other.
        """
        if self._declared is None:
            found: dict[str, dict[str, EntryPoint]] = {}
            for entry in _entries(self.group):
                # The first on the path of a package that is there twice is what Python imports.
                found.setdefault(entry.name, {}).setdefault(_package(entry), entry)
            self._declared = {name: tuple(found[name].values()) for name in sorted(found)}
        return self._declared

    def forget(self) -> None:
        """Look again at what is installed; modules that were imported stay imported."""
        self._declared = None
        self._loaded.clear()

    def _load(self, name: str) -> Thing | str:
        """Return the installed one, or why it cannot be used; it is loaded once."""
        if name not in self._loaded:
            entries = self.declared()[name]
            why, thing = self._refused(name, entries), None
            if not why:
                why, thing = self._imported(entries[0])
            self._loaded[name] = self._told(entries, why) if why else thing  # type: ignore[assignment]
        return self._loaded[name]

    def _refused(self, name: str, entries: Entries) -> str:
        """Return what is wrong with the name alone."""
        if name in self.own:
            taken = f"the name is a built-in {self.kind}'s"
            return f"{taken} and those are not replaced; give it another"
        if len(entries) > 1:
            return f"one name means one {self.kind}; uninstall one or rename it"
        if name in self.reserved or not re.fullmatch("[a-z][a-z0-9_]*", name):
            beside = f", and none of {', '.join(sorted(self.reserved))}" if self.reserved else ""
            return f"the name must be small letters, digits and _{beside}; give it another"
        return ""

    def _imported(self, entry: EntryPoint) -> tuple[str, Any]:
        """Return why it cannot be used, or "", and what the entry point stands for."""
        try:
            with redirect_stdout(sys.stderr):  # What a module prints must not mix with --json.
                thing = entry.load()
                return self.fault(thing, entry.name), thing
        except (Exception, SystemExit) as error:  # noqa: BLE001  # It is somebody else's module.
            return (
                f"it cannot be loaded ({' '.join(f'{type(error).__name__}: {error}'.split())}); "
                f"mend it (python -c 'import {entry.value.partition(':')[0]}' shows where it "
                "fails) or uninstall it"
            ), None

    def _told(self, entries: Iterable[EntryPoint], fault: str) -> str:
        where = " and ".join(f"{e.value} of the package {_package(e)}" for e in entries)
        name = next(iter(entries)).name
        which = f"{self.group} entry point {where}"
        return f"the installed {self.kind} {name!r} cannot be used ({which}): {fault}"


def _entries(group: str) -> Iterator[EntryPoint]:
    for distribution in distributions():
        # importlib.metadata.entry_points() fails for all if one package's file is malformed.
        with suppress(Exception):
            yield from distribution.entry_points.select(group=group)


def _package(entry: EntryPoint) -> str:
    return str(entry.dist.metadata["Name"]) if entry.dist else "of unknown name"
