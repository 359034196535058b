"""Paths and other words that no file system takes, refused before anything is done with them."""

import os
from pathlib import Path

from holdfast.errors import ConfigError

__all__ = ["home", "refuse_home", "refuse_text"]

MOST_NAME, MOST_PATH = 255, 4095
"""Bytes of one name and of a whole path that Linux and macOS take."""


def home() -> list[Path]:
    """Return the user's home folder, or none where nobody knows of one."""
    try:
        return [Path.home()]
    except RuntimeError:  # No HOME, and a user that the system does not know.
        return []


def refuse_text(value: str | os.PathLike[str], shown: str, *, whole: bool = True) -> None:
    """Raise ``ConfigError`` where ``value``, called ``shown``, can name no file.

    What is no UTF-8 is refused as well: a result has the path in it, and could not be written.
    A text that is more than a path (``whole`` is false) may be as long as it is.
    """
    text = os.fspath(value)
    if "\0" in text:
        raise ConfigError(f"{shown}: holds a NUL character, which no path can: leave it out")
    try:
        size = len(text.encode())
        longest = max(len(name.encode()) for name in text.split("/"))
    except UnicodeEncodeError as error:
        said = f"character {error.start + 1} is not UTF-8"
        raise ConfigError(f"{shown}: {said}: rename the file or folder") from error
    if whole and (longest > MOST_NAME or size > MOST_PATH):
        limit = f"{MOST_NAME} bytes a name and {MOST_PATH} in all"
        close = "…`" if shown.startswith("`") else "…"
        raise ConfigError(f"{shown[:60]}{close}: is too long for a path, which takes {limit}")
    refuse_home(text, shown)


def refuse_home(value: str | os.PathLike[str], shown: str) -> None:
    """Raise ``ConfigError`` where ``value`` begins with a home that no shell has put there.

    Shells read ``--output ~/x`` and leave ``--output=~/x`` as it is, and nobody reads a file of
    options: it would be a folder of that name here. One that is here is meant.
    """
    text = os.fspath(value)
    if text.partition("/")[0] == "~" and not Path("~").exists():
        way = f"write {Path.home()}{text[1:]}" if home() else "write the folder itself"
        raise ConfigError(f"{shown}: ~ is your home to a shell, and none has read it here: {way}")
