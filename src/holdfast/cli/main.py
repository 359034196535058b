"""The entry point: every way a command can end becomes one line and an exit code.

====  ===========================================================
code  meaning
====  ===========================================================
0     done
1     a run that had started failed, or a fault of holdfast itself
2     bad input: nothing was started and nothing was written
3     done, and a limit of ``require`` does not hold, or ``fail_if`` does
4     done, and nobody can tell yet whether the limits hold
130   Ctrl-C: the last checkpoint is kept; SIGTERM (143) and SIGHUP (129) alike
141   nobody reads the output any more, as in ``holdfast list | head -1``
====  ===========================================================
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from typer.main import get_command

from holdfast.cli.app import app
from holdfast.cli.shell.escaping import UnreadError, escaped_streams
from holdfast.cli.shell.flags import take_fields, with_flags
from holdfast.cli.shell.followers import told_elsewhere
from holdfast.cli.shell.outcomes import TRACEBACK, outcome
from holdfast.cli.shell.signals import stoppable
from holdfast.cli.shell.surroundings import check_arguments, check_folder, home, nobody_reads

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in ``argv`` (the process's own by default) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with escaped_streams(), stoppable(), home():
        try:
            code = _run(arguments)
            sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001  # The last frame before the shell.
            return _ended(error)
    return code


def _run(arguments: list[str]) -> int:
    check_arguments(arguments)
    check_folder()
    command: Any = get_command(app)
    for word in arguments:  # A group's command comes behind the group's name.
        command = getattr(command, "commands", {}).get(word, command)
    take_fields(command)
    code = app(arguments, prog_name="holdfast", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _ended(error: BaseException) -> int:
    """Say on stderr, in one line, why the command ended and return its exit code."""
    if os.environ.get(TRACEBACK, "0") not in ("", "0"):
        traceback.print_exc()
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, UnreadError):
        return nobody_reads()
    kind, message, code = outcome(error)
    if told_elsewhere(error):
        return code
    message = with_flags("; ".join([message, *getattr(error, "__notes__", ())]))
    sys.stderr.write(f"{kind}: {' '.join(message.split())}\n" if kind else f"{message}\n")
    return code
