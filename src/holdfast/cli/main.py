"""The entry point: every way a command can end becomes one line and an exit code.

====  ===========================================================
code  meaning
====  ===========================================================
0     done
1     a run that had started failed, or a fault of holdfast itself
2     bad input: nothing was started and nothing was written
130   Ctrl-C: the last checkpoint is kept
====  ===========================================================
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from holdfast.cli.app import app
from holdfast.cli.shell.flags import take_fields, with_flags
from holdfast.cli.shell.options import Interrupted
from holdfast.errors import InputError, RunError

__all__ = ["main"]

TRACEBACK = "HOLDFAST_TRACEBACK"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (the process's own by default) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands: Any = getattr(get_command(app), "commands", {})
    take_fields(commands.get(arguments[0]) if arguments else None)
    try:
        code = app(arguments, prog_name="holdfast", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  # The last frame before the shell.
        if os.environ.get(TRACEBACK, "0") not in ("", "0"):
            traceback.print_exc()
        return _ended(error)
    return code if isinstance(code, int) else 0


def _ended(error: BaseException) -> int:
    """Say on stderr, in one line, why the command ended and return its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    kind, message, code = _outcome(error)
    message = with_flags("; ".join([message, *getattr(error, "__notes__", ())]))
    sys.stderr.write(f"{kind}: {' '.join(message.split())}\n" if kind else f"{message}\n")
    return code


def _outcome(error: BaseException) -> tuple[str, str, int]:
    """Return the first word of the line, the rest of it and the exit code."""
    usage: Any = getattr(error, "format_message", None)
    match error:
        case Interrupted() | KeyboardInterrupt():
            found = "interrupted", str(error) or "nothing was kept", 130
        case InputError():
            found = "error", str(error), 2
        case RunError():
            found = "error", str(error), 1
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            found = "error", f"{name}{error.strerror or error}", 1
        case _ if usage is not None:
            found = _usage(error, str(usage()))
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            hint = f"this is a fault of holdfast; {TRACEBACK}=1 shows where it comes from"
            found = "error", f"{what} ({hint})", 1
    return found


def _usage(error: BaseException, message: str) -> tuple[str, str, int]:
    """Say what is wrong with the command line itself; without any argument, show the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return "", message, 2
    context: Any = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "holdfast"
    return "error", f"{message.rstrip('.')}; see {path} --help", 2
