"""What defenses say while a command works, on stderr and in the run's log."""

import sys
from collections.abc import Callable

__all__ = ["Notes"]


class Notes:
    """Lines on stderr: at once for who watches, else when the run is done.

    A program that reads stderr finds one line there where a run has failed.
    """

    def __init__(self, log: Callable[[str], None] = lambda _: None) -> None:
        self._log = log
        self._held: list[str] = []

    def say(self, line: str) -> None:
        """Take one line."""
        self._log(line)
        self._held.append(line)
        if sys.stderr.isatty():
            self.show()

    def show(self) -> None:
        """Write the lines that were not shown yet."""
        sys.stderr.writelines(f"{line}\n" for line in self._held)
        self._held.clear()
