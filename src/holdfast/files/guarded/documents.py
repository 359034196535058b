"""JSON that others have written: a regular file in UTF-8, neither huge nor nested without end.

Everything here that reads a JSON file reads it by this one function.
"""

import errno
import json
from pathlib import Path
from typing import Any

__all__ = ["MOST_BYTES", "MOST_DEPTH", "json_in", "json_of", "text_in"]

MOST_BYTES = 2**30
"""Largest file that is read."""
MOST_DEPTH = 100
"""Deepest nesting; what goes on with a document may recurse further than the parser does."""


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


def json_of(text: str) -> Any:
    """Return the JSON value of ``text``.

    Raises:
        ValueError: It is not JSON, or nested too deep.
    """
    too_deep = f"is nested more than {MOST_DEPTH} levels deep"
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(too_deep) from error
    if _depth(value) > MOST_DEPTH:
        raise ValueError(too_deep)
    return value


def _depth(value: Any) -> int:
    """Return how deep lists and mappings stand in one another, without recursion."""
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, list | dict)]:
        depth += 1
        level = [
            inner for each in level for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
