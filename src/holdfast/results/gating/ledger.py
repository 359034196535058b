"""The looks at the same prompts, kept beside the limits: who retries until it passes is seen.

::

    new prompts, none of which was seen before   a new series, look 1
    the same identity on the same prompts        the same look: nothing is spent
    anything else                                the next look of the series

A prompt that was seen before joins its series, so that one new prompt in an old set buys nothing.
A ledger that was changed or cut is an error and never a fresh start.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field, ValidationError

from holdfast.errors import InputError, NewerFileError
from holdfast.files.outputs.locks import InUseError, locked
from holdfast.files.sealing.documents import read_sealed, write_sealed
from holdfast.files.whole import refuse_newer
from holdfast.results.readings import Record

__all__ = ["Ledger", "Look", "Series", "held_ledger", "ledger_beside", "now"]

SCHEMA_VERSION = 1
WAIT = 20.0
"""Seconds that a look waits for another one to be written; ours."""


class Look(Record):
    """One look at prompts that a release is judged on."""

    number: int
    identity: str = Field(description="SHA-256 of weights, judge, decoding, prompts and verdicts.")
    weights: str = ""
    prompts: str = Field(description="SHA-256 of all prompts.")
    delta: float
    created: str
    verdicts: dict[str, str] = Field(description="Limit under attack -> state and counts.")


class Series(Record):
    """All looks at prompts that have some in common."""

    prompts: list[str] = Field(description="The first 16 hexadecimal digits of each one's SHA-256.")
    looks: list[Look] = Field(default_factory=list[Look])


class Ledger(Record):
    """All series, in the order in which they began."""

    schema_version: int = SCHEMA_VERSION
    series: list[Series] = Field(default_factory=list[Series])

    def number(self, prompts: Sequence[str], identity: str) -> int:
        """Return which look this is: the one it was already, or the next one."""
        looks = [look for one in self._touched(prompts) for look in one.looks]
        known = [look.number for look in looks if look.identity == identity]
        return known[0] if known else len(looks) + 1

    def with_look(self, prompts: Sequence[str], look: Look) -> "Ledger":
        """Return the ledger with a look; one of the same identity takes its further verdicts."""
        touched = self._touched(prompts)
        rest = [one for one in self.series if one not in touched]
        seen = dict.fromkeys([*(p for one in touched for p in one.prompts), *prompts])
        before = [old for one in touched for old in one.looks]
        same = [old for old in before if old.identity == look.identity]
        if same:
            verdicts = {**same[0].verdicts, **look.verdicts}
            told = same[0].model_copy(update={"verdicts": verdicts})
            looks = [told if old is same[0] else old for old in before]
        else:
            looks = [*before, look]
        return self.model_copy(update={"series": [*rest, Series(prompts=list(seen), looks=looks)]})

    def _touched(self, prompts: Sequence[str]) -> list[Series]:
        asked = set(prompts)
        return [one for one in self.series if asked & set(one.prompts)]

    def save(self, path: Path) -> None:
        """Write the ledger, whole or not at all."""
        write_sealed(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> "Ledger":
        """Read a ledger; an empty one where there is no file yet.

        Raises:
            InputError: The file is no ledger, of a newer holdfast, or was changed.
        """
        if not path.exists() and not path.is_symlink():
            return cls()
        way_out = "restore it from version control: without it no look can be counted"
        try:
            said = read_sealed(path)
            refuse_newer(path, said.get("schema_version", 0), SCHEMA_VERSION)
            return cls.model_validate(said)
        except NewerFileError:
            raise
        except (InputError, ValidationError, TypeError, ValueError) as error:
            why = "is no ledger" if isinstance(error, ValidationError) else str(error)
            told = why.removeprefix(f"{path} ")
            raise InputError(f"the ledger {path} {told}; {way_out}") from error


def ledger_beside(policy: Path) -> Path:
    """Return where looks are counted: beside ``gate.yaml`` in ``gate.ledger.json``."""
    return policy.with_name(f"{policy.stem}.ledger.json")


def now() -> str:
    """Return the time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def held_ledger(path: Path, wait: float = WAIT) -> Generator[Ledger]:
    """Give the ledger, which no other process reads or writes until the body ends.

    Raises:
        InputError: It cannot be read; see ``Ledger.load``.
        ConfigError: It stays locked, or no lock can be made beside it.
    """
    lock, end = path.with_name(f".{path.name}.lock"), time.monotonic() + wait
    while True:
        try:
            holding = locked(lock, f"the ledger {path}")
            holding.__enter__()
            break
        except InUseError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.05)
    try:
        yield Ledger.load(path)
    finally:
        holding.__exit__(None, None, None)
