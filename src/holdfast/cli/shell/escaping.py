"""Nothing that a stranger wrote moves the cursor: control characters are shown and not sent.

Names, answers, templates and messages of libraries come from files. An escape code in one of them
could recolor, rewrite or link what a terminal shows, so the streams themselves let none through;
only what draws bars and tables writes past them.
"""

import io
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["UnreadError", "escaped_streams", "json_safe", "raw", "visible"]

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""C0 but tab and line end, DEL, C1, marks that turn the direction of text, half characters."""


class UnreadError(BaseException):
    """Nobody reads the result any more; no ``Exception``, since there is nothing to handle."""


def visible(text: str) -> str:
    r"""Return ``text`` with each control character as Python writes it: ``\x1b``, ``\u202e``."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def json_safe(text: str, encoding: str | None) -> str:
    """Return a JSON document that this terminal can show: other characters as JSON escapes."""
    if not (encoding or "utf-8").lower().startswith("utf"):
        return "".join(c if c.isascii() else _escape(c) for c in text)
    return _CONTROL.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))


class _Escaped:
    """A text stream that shows control characters and passes all else on.

    Where nobody reads it any more, a ``vital`` one ends the command; another falls silent.
    """

    def __init__(self, stream: Any, *, vital: bool) -> None:
        self.raw_stream = stream
        self._vital = vital

    def write(self, text: str) -> int:
        """Write ``text`` without control characters."""
        with self._read():
            self.raw_stream.write(visible(text))
        return len(text)

    def flush(self) -> None:
        """Write what was held back."""
        with self._read():
            self.raw_stream.flush()

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    @contextmanager
    def _read(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError as error:
            if self._vital:
                raise UnreadError from error

    def __getattr__(self, name: str) -> Any:
        """Be the stream in everything else."""
        return getattr(self.raw_stream, name)


def raw(stream: Any) -> Any:
    """Return the stream below, for what draws with codes of its own."""
    return stream.raw_stream if isinstance(stream, _Escaped) else stream


def _nowhere() -> Any:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  # As long as the process.


@contextmanager
def escaped_streams() -> Generator[None]:
    """Let nothing but shown characters through stdout and stderr while the body runs."""
    # A stream that the shell has closed (``>&-``) is None, and its number must not go to a file.
    before = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in before:  # What the stream's encoding lacks is shown as an escape too.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (  # type: ignore[assignment]
        _Escaped(raw(stream), vital=stream is before[0]) for stream in before
    )
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
