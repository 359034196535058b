"""What an error that ended a command means for who called it: a word, a line and an exit code."""

import errno
import os
from typing import Any

from holdfast.cli.shell.options import Interrupted
from holdfast.cli.shell.signals import code_of
from holdfast.errors import InputError, RunError

__all__ = ["TRACEBACK", "outcome"]

TRACEBACK = "HOLDFAST_TRACEBACK"
GIVEN = {errno.ENAMETOOLONG: "give a shorter name", errno.ELOOP: "its links lead round in a circle"}
"""What the system says of a path that was given, whatever is done with it, and the way out."""


def outcome(error: BaseException) -> tuple[str, str, int]:
    """Return the first word of the line, the rest of it and the exit code."""
    usage: Any = getattr(error, "format_message", None)
    match error:
        case Interrupted() | KeyboardInterrupt():
            found = "interrupted", str(error) or "nothing was kept", code_of()
        case InputError():
            found = "error", str(error), 2
        case RunError():
            found = "error", str(error), 1
        case _ if usage is not None:
            found = _usage(error, str(usage()))
        case _ if (known := _of_the_machine(error)) is not None:
            found = "error", *known
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            hint = f"this is a fault of holdfast; {TRACEBACK}=1 shows where it comes from"
            found = "error", f"{what} ({hint})", 1
    return found


def _of_the_machine(error: BaseException) -> tuple[str, int] | None:
    """Say what the machine lacks: memory, space, a package, a file; None for none of these."""
    from holdfast.training.failures import as_run_error  # noqa: PLC0415  # Heavy.

    if (known := as_run_error(error, "nothing more was kept")) is not None:
        return str(known), 1
    if isinstance(error, OSError):
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        why = f"{name}{error.strerror or error}"
        way_out = GIVEN.get(error.errno or 0)
        return (f"{why}: {way_out}", 2) if way_out else (why, 1)
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "holdfast":
        return f"a package is needed that cannot be imported ({error}): install it", 1
    return None


def _usage(error: BaseException, message: str) -> tuple[str, str, int]:
    """Say what is wrong with the command line itself; without any argument, show the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return "", message, 2
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "holdfast"
    return "error", f"{message.rstrip('.')}; see {path} --help", 2
