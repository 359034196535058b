"""Which hook of which defense ran, how often and for how long: the proof that a method ran.

What became of the defenders' rows is counted beside the hooks. Checkpoints keep it, so that a run
that goes on tells of all of it, and how long it took.
"""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.defense import HOOKS, Defense, implements
from holdfast.errors import NotRunError
from holdfast.files.guarded.documents import json_in

__all__ = ["Count", "Trace"]

_FILE = "holdfast_trace.json"
"""What a checkpoint tells of the run up to it."""

_MAY_NOT_RUN = frozenset({"served"})  # Only a run that writes checkpoints or evaluates needs it.


@dataclass
class Count:
    """How often a hook ran and how many seconds of wall clock it took, own passes included."""

    calls: int = 0
    seconds: float = 0.0


@dataclass
class Trace:
    """Counts per (defense, hook)."""

    counts: dict[tuple[str, str], Count] = field(default_factory=dict[tuple[str, str], Count])
    earlier: dict[tuple[str, str], Count] = field(default_factory=dict[tuple[str, str], Count])
    """What was counted before the checkpoint that the run goes on from."""
    spent: float = 0.0
    """Seconds that the run took until that checkpoint."""
    unlogged: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the trainer had counted by then and not logged yet."""
    step_rows: int | None = None
    """How many of the user's rows an optimizer step has, those of all processes; None: unknown."""
    began: float = field(default_factory=time.perf_counter)

    def save(self, checkpoint: Path, unlogged: Mapping[str, Any]) -> None:
        """Write into a checkpoint what the run has been until now."""
        spent = self.spent + time.perf_counter() - self.began
        told = {"seconds": spent, "rows": self.rows(), "unlogged": dict(unlogged)}
        told |= {"step_rows": self.step_rows}
        (checkpoint / _FILE).write_text(json.dumps(told) + "\n")

    def goes_on(self, checkpoint: Path) -> int | None:
        """Begin with what a checkpoint tells; what was done again by now is counted once.

        Returns:
            How many rows its steps had, None where it does not tell.
        """
        if not (checkpoint / _FILE).exists():  # It is of an older holdfast.
            return None
        told = json_in(checkpoint / _FILE)
        self.spent, self.unlogged = float(told["seconds"]), dict(told["unlogged"])
        for row in told["rows"]:
            key = (row["defense"], row["hook"])
            again = self.counts.get(key, Count()).calls
            self.earlier[key] = Count(max(0, row["calls"] - again), row["seconds"])
        return told.get("step_rows")

    @contextmanager
    def running(self, defense: Defense, hook: str) -> Generator[None]:
        """Count one call of the hook and time the body."""
        count = self.counts.setdefault((defense.card.name, hook), Count())
        start = time.perf_counter()
        count.calls += 1
        try:
            yield
        finally:
            count.seconds += time.perf_counter() - start

    def note(self, defense: str, what: str, count: int) -> None:
        """Count something that is no hook, such as rows that were cut; it takes no time."""
        self.counts.setdefault((defense, what), Count()).calls += count

    def called_in(
        self, step: Callable[[], Any], defenses: Sequence[Defense], hook: str
    ) -> Callable[[], Any]:
        """Return the step, which raises ``NotRunError`` where it passes by a hook inside it."""

        def watched() -> Any:
            result = step()
            for defense in defenses:
                if (defense.card.name, hook) not in self.counts:
                    raise NotRunError(
                        f"{defense.card.name}.{hook} is passed by: the trainer's own training_step "
                        "does not call self.compute_loss; let it, or do without the defense"
                    )
            return result

        return watched if defenses else step

    def check(self, defenses: Sequence[Defense]) -> None:
        """Raise ``NotRunError`` if a hook that a defense overrides never ran."""
        for defense in defenses:
            for hook in HOOKS:
                expected = implements(defense, hook) and hook not in _MAY_NOT_RUN
                if expected and (defense.card.name, hook) not in self.counts:
                    raise NotRunError(
                        f"{defense.card.name}.{hook} never ran, so the model is not defended by "
                        "it; was the trainer's own loop replaced, or did it run no step?"
                    )

    def rows(self) -> list[dict[str, str | int | float]]:
        """Return one JSON row per (defense, hook), of the whole run."""
        found = {key: Count(count.calls, count.seconds) for key, count in self.earlier.items()}
        for key, count in self.counts.items():
            whole = found.setdefault(key, Count())
            whole.calls, whole.seconds = whole.calls + count.calls, whole.seconds + count.seconds
        return [
            {"defense": d, "hook": h, "calls": c.calls, "seconds": round(c.seconds, 4)}
            for (d, h), c in found.items()
        ]
