"""JSON that others have written: a regular file in UTF-8, neither huge nor nested without end.

Everything here that reads a JSON file reads it by this one function.
"""

import errno
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["MOST_BYTES", "MOST_DEPTH", "TwiceError", "json_in", "json_of", "refuse_deep", "text_in"]

MOST_BYTES = 2**30
"""Largest file that is read."""
MOST_DEPTH = 100
"""Deepest nesting; what goes on with a document may recurse further than the parser does."""
_TOO_DEEP = f"is nested more than {MOST_DEPTH} levels deep"


class TwiceError(ValueError):
    """A JSON object has a name twice, with two values; says which."""


def json_in(path: Path) -> Any:
    """Return the JSON value that a file holds.

    Raises:
        OSError: The file is missing, is no regular file (a pipe would never end) or is too large.
        ValueError: It is not UTF-8, not JSON, or nested too deep.
    """
    return json_of(text_in(path))


def text_in(path: Path) -> str:
    """Return the text of a file.

    Raises:
        OSError: The file is missing, is no regular file (a pipe would never end) or is too large.
        ValueError: It is not UTF-8, or no file can have this name.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    if path.stat().st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"has more than {MOST_BYTES // 2**20} MiB", str(path))
    return path.read_text(encoding="utf-8")


def json_of(text: str, *, once: bool = False) -> Any:
    """Return the JSON value of ``text``.

    Args:
        text: What is read.
        once: A name that stands twice in an object is an error; else the last value holds.

    Raises:
        ValueError: It is not JSON, or nested too deep.
        TwiceError: A name has two values, and ``once`` is asked for.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once if once else None)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    refuse_deep(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        lost = next((name for name, value in pairs if found[name] != value), None)
        if lost is not None:
            raise TwiceError(f"has {lost[:40]!r} twice, with two values")
    return found


def refuse_deep(value: Any) -> None:
    """Raise ``ValueError`` where lists and mappings are nested too deep, or hold themselves.

    Each is looked at once a level: what YAML's aliases name many times is one.
    """
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(MOST_DEPTH):
        inner = (each for holder in level for each in _held(holder))
        level = list({id(each): each for each in inner if isinstance(each, list | dict)}.values())
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _held(holder: list[Any] | dict[Any, Any]) -> Iterable[Any]:
    return holder.values() if isinstance(holder, dict) else holder
