"""Answers that were made, kept on the disk until they stand in a result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.evaluation.reply import Reply
from holdfast.files.kept_lines import KeptLines

__all__ = ["KeptAnswers"]


class KeptAnswers:
    """A file of one line for each answer; a run that was stopped finds them there again.

    Args:
        path: The file, which only the user can read; without one nothing is kept.
        how: What decides the answers beside the prompts: another model's are not taken.
    """

    def __init__(self, path: Path | None, how: Mapping[str, Any]) -> None:
        self.path = path
        self._kept = KeptLines(path, how, "reply")

    def found(self, prompts: Sequence[Sequence[Mapping[str, str]]]) -> dict[int, Reply]:
        """Return the kept answers, by the place of their prompts."""
        said = self._kept.found(lambda told: Reply(**told))
        keys = [self._key(prompt) for prompt in prompts]
        return {place: said[key] for place, key in enumerate(keys) if key in said}

    def keep(self, prompt: Sequence[Mapping[str, str]], reply: Reply) -> None:
        """Add an answer.

        Raises:
            RunError: The file cannot be written.
        """
        self._kept.keep(self._key(prompt), reply.__dict__)

    def forget(self) -> None:
        """Take the file away."""
        self._kept.forget()

    def _key(self, prompt: Sequence[Mapping[str, str]]) -> str:
        return self._kept.key({"prompt": [dict(message) for message in prompt]})
