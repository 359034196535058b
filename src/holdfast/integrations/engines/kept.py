"""Answers that were made, kept on the disk until they stand in a result."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from holdfast.errors import RunError
from holdfast.evaluation.reply import Reply

__all__ = ["KeptAnswers"]


class KeptAnswers:
    """A file of one line for each answer; a run that was stopped finds them there again.

    Args:
        path: The file, which only the user can read; without one nothing is kept.
        how: What decides the answers beside the prompts: another model's are not taken.
    """

    def __init__(self, path: Path | None, how: Mapping[str, Any]) -> None:
        self.path = path
        self._how = dict(how)
        self._lock = Lock()

    def found(self, prompts: Sequence[Sequence[Mapping[str, str]]]) -> dict[int, Reply]:
        """Return the kept answers, by the place of their prompts."""
        said: dict[str, Reply] = {}
        for line in self._lines():
            try:  # The last line may have been cut when the run was.
                document = json.loads(line)
                said[document["key"]] = Reply(**document["reply"])
            except (ValueError, KeyError, TypeError):
                continue
        keys = [self._key(prompt) for prompt in prompts]
        return {place: said[key] for place, key in enumerate(keys) if key in said}

    def keep(self, prompt: Sequence[Mapping[str, str]], reply: Reply) -> None:
        """Add an answer.

        Raises:
            RunError: The file cannot be written.
        """
        if self.path is None:
            return
        line = json.dumps({"key": self._key(prompt), "reply": reply.__dict__}) + "\n"
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                with os.fdopen(os.open(self.path, mode, 0o600), "a", encoding="utf-8") as file:
                    file.write(line)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}") from error

    def forget(self) -> None:
        """Take the file away."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _lines(self) -> list[str]:
        if self.path is None or not self.path.is_file():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()

    def _key(self, prompt: Sequence[Mapping[str, str]]) -> str:
        asked = {**self._how, "prompt": [dict(message) for message in prompt]}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
