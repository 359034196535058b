"""Attacks that were answered, kept on the disk until they stand in a result.

One line for each attack, by a hash of what decides its answers; a run that was stopped finds them
there, and takes no other model's.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.errors import RunError
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.attack import Asked

__all__ = ["KeptAttacks"]


class KeptAttacks:
    """A file that only the user can read.

    Args:
        path: The file; without one nothing is kept.
        how: What decides the answers beside the prompts, as JSON values.
    """

    def __init__(self, path: Path | None, how: Mapping[str, Any]) -> None:
        self.path = path
        self._how = dict(how)

    def found(self, attack: str, asked: Sequence[Asked]) -> AttackAnswers | None:
        """Return the kept answers to an attack's prompts, if there are any."""
        key = self._key(attack, asked)
        for line in self._lines():
            try:  # The last line may have been cut when the run was.
                told = json.loads(line)
                if told["key"] == key:
                    return AttackAnswers.of_json(told["found"])
            except (ValueError, KeyError, TypeError):
                continue
        return None

    def keep(self, attack: str, asked: Sequence[Asked], found: AttackAnswers) -> None:
        """Add an attack.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is None:
            return
        told = {"key": self._key(attack, asked), "found": found.as_json()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            with os.fdopen(os.open(self.path, mode, 0o600), "a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error

    def forget(self) -> None:
        """Take the file away: its attacks are in a result."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def told(self) -> str:
        """Return what a run that stops says of what it leaves."""
        if self.path is not None and self.path.exists():
            return f"the attacks that were answered are in {self.path}; the same command goes on"
        return "nothing was written"

    def _lines(self) -> list[str]:
        if self.path is None or not self.path.is_file():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()

    def _key(self, attack: str, asked: Sequence[Asked]) -> str:
        rows = [asdict(each) for each in asked]
        text = json.dumps({**self._how, "attack": attack, "asked": rows}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
