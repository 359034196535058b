"""What a command finds around it: arguments that are no text, no home folder, no reader."""

import os
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from holdfast.errors import ConfigError

__all__ = ["check_arguments", "check_folder", "home", "nobody_reads"]

BROKEN_PIPE = 141
"""128 and the number of SIGPIPE, as other programs of a pipe end."""


def check_arguments(arguments: Sequence[str]) -> None:
    """Raise ``ConfigError`` unless every argument is text without NUL."""
    for number, argument in enumerate(arguments, start=1):
        shown = f"argument {number}, {argument!r},"
        if "\0" in argument:
            raise ConfigError(f"{shown} holds a NUL character: leave it out")
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{shown} is not UTF-8: rename what it names") from error


def check_folder() -> None:
    """Raise ``ConfigError`` where the folder that we are in was removed: torch would end us."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError(
            "the working folder is not there any more: go to one that is (cd), and run it again"
        ) from error


@contextmanager
def home() -> Generator[None]:
    """Give the body a home folder of its own where the user has none.

    Libraries below keep caches there, and would make a folder called ``~`` here.
    """
    try:
        Path.home()
    except RuntimeError:
        with tempfile.TemporaryDirectory(prefix="holdfast-home-") as folder:
            os.environ["HOME"] = folder
            try:
                yield
            finally:
                del os.environ["HOME"]
    else:
        yield


def nobody_reads() -> int:
    """Close stdout for good, so that the interpreter does not complain; return the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return BROKEN_PIPE
