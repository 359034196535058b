"""``run.log``: what a run did and when, line by line, kept also where the run stops or fails.

It holds figures and the run's own words: no prompt, no answer and no row.
"""

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from holdfast.errors import HoldfastError, InputError
from holdfast.progress import Progress

__all__ = ["FILE", "PARTS", "LogLines", "RunLog", "forget_log"]

FILE = "run.log"
PARTS = 10
"""A stage has this many lines, evenly over its work."""
_UNTOLD = ("epoch", "total_flos")
_BEGINS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+ begins\n")


class RunLog:
    """Keeps lines until there is a folder for them; one that cannot be written stops no run."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._file: Path | None = None
        self._failed = False

    def into(self, folder: Path) -> None:
        """Write into a folder: what was said so far, and from now on each line at once."""
        self._file = folder / FILE
        _add(self._file, self._lines)

    def say(self, line: str) -> None:
        """Add one line, with the time in UTC."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._lines.append(f"{now} {' '.join(line.split())}\n")
        if self._file is not None:
            _add(self._file, self._lines[-1:])

    def extend(self, lines: Iterable[str]) -> None:
        """Add several lines."""
        for line in lines:
            self.say(line)

    def stages(self, progress: Progress) -> Progress:
        """Return what tells ``progress`` all that it is told, and the log a part of it."""
        shown: dict[str, int] = {}

        def told(stage: str, done: int, total: int, said: str = "", /) -> None:
            progress(stage, done, total, said)
            part = PARTS * done // max(total, 1)
            if shown.get(stage) != part:
                shown[stage] = part
                self.say(", ".join(filter(None, (f"{stage}: {done} of {total}", said))))

        return told

    def left(self, output: Path) -> str:
        """Leave the log of a run that failed, and whose folder goes, beside its output.

        What was refused leaves none, and a file of that name that is no such log stays as it is.

        Returns:
            What a message says of it, or ``""``.
        """
        file = output.with_name(f"{output.name}.failed.log")
        if not self._failed or not forget_log(output):
            return ""
        return f" but the log, {file}" if _add(file, self._lines) else ""

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
            self._failed = not isinstance(error, InputError)
            raise


def forget_log(output: Path) -> bool:
    """Remove the log of an earlier run of this output that failed; False where it is none."""
    file = output.with_name(f"{output.name}.failed.log")
    try:
        if not file.exists():
            return True
        with file.open(encoding="utf-8") as opened:
            ours = _BEGINS.fullmatch(opened.readline()) is not None
        if ours:
            file.unlink()
        return ours
    except (OSError, UnicodeDecodeError):
        return False


def _add(file: Path, lines: Sequence[str]) -> bool:
    """Write lines behind those of a file; False where that fails, as on a full disk."""
    try:
        with file.open("a", encoding="utf-8", errors="replace") as opened:
            opened.writelines(lines)
    except OSError:
        return False
    return True


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
