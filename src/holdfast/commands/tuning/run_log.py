"""``run.log``: what a tuning run did and when, line by line, kept also where the run stops.

It holds figures and the run's own words: no prompt, no answer and no row.
"""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from holdfast.errors import HoldfastError

__all__ = ["FILE", "LogLines", "RunLog"]

FILE = "run.log"
_UNTOLD = ("epoch", "total_flos")


class RunLog:
    """Adds lines to a file; a line that cannot be written (a full disk) stops no run."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    def say(self, line: str) -> None:
        """Add one line, with the time in UTC."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        with suppress(OSError), self._file.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{now} {' '.join(line.split())}\n")

    def extend(self, lines: Iterable[str]) -> None:
        """Add several lines."""
        for line in lines:
            self.say(line)

    @contextmanager
    def of(self, command: str) -> Generator[None]:
        """Tell when the body begins and why it stops, if it does."""
        self.say(f"{command} begins")
        try:
            yield
        except KeyboardInterrupt:
            self.say("stopped by the user")
            raise
        except Exception as error:
            # Errors of libraries may quote what they were given.
            why = f": {error}" if isinstance(error, HoldfastError) else ""
            self.say(f"failed: {type(error).__name__}{why}")
            raise


class LogLines(TrainerCallback):
    """Writes what a Trainer logs and saves."""

    def __init__(self, log: RunLog) -> None:
        self._log = log

    def on_train_begin(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Tell how many steps there are."""
        since = f", from step {state.global_step}" if state.global_step else ""
        self._log.say(f"training: {state.max_steps} steps{since}")

    def on_log(self, _args: Any, state: Any, *_: Any, logs: Any = None, **__: Any) -> None:
        """Write the figures."""
        if logs:
            self._log.say(f"step {state.global_step}: {_figures(logs)}")

    def on_save(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Tell of a checkpoint."""
        self._log.say(f"step {state.global_step}: checkpoint")


def _figures(logs: Mapping[str, Any]) -> str:
    numbers = {name: v for name, v in logs.items() if isinstance(v, int | float)}
    return ", ".join(f"{name} {v:.6g}" for name, v in numbers.items() if name not in _UNTOLD)
