"""What was made with much time, kept on the disk line by line until it stands in a result."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from holdfast.errors import RunError

__all__ = ["KeptLines"]

T = TypeVar("T")


class KeptLines:
    """A file of one line for each thing, by a hash of what decides it; a stopped run finds it.

    Args:
        path: The file, which only the user can read; without one nothing is kept.
        how: What decides all of them, as JSON values: what was made another way is not found.
        member: What a line calls the thing.
    """

    def __init__(self, path: Path | None, how: Mapping[str, Any], member: str) -> None:
        self.path = path
        self._how = dict(how)
        self._member = member
        self._lock = Lock()

    def key(self, asked: Mapping[str, Any]) -> str:
        """Return the hash of what decides one thing, beside what decides all."""
        text = json.dumps({**self._how, **asked}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def found(self, read: Callable[[Any], T]) -> dict[str, T]:
        """Return what ``read`` makes of each kept thing, by its key; damaged lines are left out."""
        said: dict[str, T] = {}
        for line in self._lines():
            try:  # The last line may have been cut when the run was.
                document = json.loads(line)
                said[document["key"]] = read(document[self._member])
            except (ValueError, KeyError, TypeError):
                continue
        return said

    def keep(self, key: str, value: Any) -> None:
        """Add a thing, a JSON value.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is None:
            return
        line = json.dumps({"key": key, self._member: value}) + "\n"
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                with os.fdopen(os.open(self.path, mode, 0o600), "a", encoding="utf-8") as file:
                    file.write("\n" * _is_cut(self.path) + line)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error

    def forget(self) -> None:
        """Take the file away: what it held stands in a result."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        if self.path is None or not self.path.is_file():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()


def _is_cut(path: Path) -> bool:
    """Tell whether a kill or a full disk has cut a file's last line: none may follow on it."""
    with path.open("rb") as file:
        if not file.seek(0, os.SEEK_END):
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
