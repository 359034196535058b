"""Attacks that were answered, kept on the disk until they stand in a result.

One line for each attack, by a hash of what decides its answers; a run that was stopped finds them
there, and takes no other model's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.attack import Asked
from holdfast.files.kept_lines import KeptLines

__all__ = ["KeptAttacks"]


class KeptAttacks:
    """A file that only the user can read.

    Args:
        path: The file; without one nothing is kept.
        how: What decides the answers beside the prompts, as JSON values.
    """

    def __init__(self, path: Path | None, how: Mapping[str, Any]) -> None:
        self.path = path
        self._kept = KeptLines(path, how, "found")

    def found(self, attack: str, asked: Sequence[Asked]) -> AttackAnswers | None:
        """Return the kept answers to an attack's prompts, if there are any."""
        return self._kept.found(AttackAnswers.of_json).get(self._key(attack, asked))

    def keep(self, attack: str, asked: Sequence[Asked], found: AttackAnswers) -> None:
        """Add an attack.

        Raises:
            RunError: The file cannot be written.
        """
        self._kept.keep(self._key(attack, asked), found.as_json())

    def forget(self) -> None:
        """Take the file away: its attacks are in a result."""
        self._kept.forget()

    def told(self) -> str:
        """Return what a run that stops says of what it leaves."""
        if self.path is not None and self.path.exists():
            return f"the attacks that were answered are in {self.path}; the same command goes on"
        return "nothing was written"

    def _key(self, attack: str, asked: Sequence[Asked]) -> str:
        return self._kept.key({"attack": attack, "asked": [asdict(each) for each in asked]})
