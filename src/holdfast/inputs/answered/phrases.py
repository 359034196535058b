"""Refusal phrases of a user's own: a file with one a line, or a JSON list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import ConfigError, DataError
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.evaluation.judges.folding import folded
from holdfast.files.guarded.documents import json_of, text_in

__all__ = ["by_phrases", "phrases_in"]


def by_phrases(path: Path, judges: Sequence[str] = ()) -> RefusalPhrases:
    """Return the judge that knows the phrases of a file and no others.

    Raises:
        ConfigError: Judges were named too.
        DataError: The file cannot be read, or holds no phrases.
    """
    if judges:
        raise ConfigError(
            f"`refusal_phrases={path}` and `judge={judges[0]}` both say who reads the answers: "
            "give one of them"
        )
    return RefusalPhrases(phrases_in(path))


def phrases_in(path: Path) -> tuple[str, ...]:
    """Return the phrases of a file, each once, in its order; lines that begin with # are notes.

    Raises:
        DataError: The file is missing, no text, an invalid list, or holds no phrase.
    """
    try:
        text = text_in(path)
        found = json_of(text) if text.lstrip().startswith("[") else _lines(text)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}): expected a text file with one refusal phrase a "
            "line, or a JSON list of phrases"
        ) from error
    return _phrases(found, path)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _phrases(found: Any, path: Path) -> tuple[str, ...]:
    wrong = [one for one in found if not (isinstance(one, str) and _is_phrase(one))]
    if wrong:
        raise DataError(
            f"{path}: {str(wrong[0])[:60]!r} is no phrase: expected words as an answer has them, "
            "one phrase a line, or a JSON list of such texts"
        )
    if not found:
        raise DataError(f"{path}: holds no phrase: expected at least one, such as: i cannot")
    return tuple(dict.fromkeys(folded(one) for one in found))


def _is_phrase(text: str) -> bool:
    """Say whether a text can stand in an answer; JSON of another shape stands in none."""
    plain = folded(text)
    quoted = plain.startswith('"') and plain.rstrip(",").endswith('"')
    return any(map(str.isalnum, plain)) and not quoted and not plain.startswith("{")
