"""What a trainer with defenses keeps, under one name, so that nobody's own attributes are hit."""

from dataclasses import dataclass, field
from pathlib import Path

from holdfast.artifact import Artifact
from holdfast.defense import Defense, Step
from holdfast.progress import Progress
from holdfast.training.learning_rates import Multipliers
from holdfast.training.session import Session
from holdfast.training.trace import Trace

__all__ = ["READABLE", "Held"]

READABLE = frozenset({"artifacts", "artifacts_dir", "defenses", "session", "trace"})
"""What is read as an attribute of the trainer, wherever its own class has none of that name."""


@dataclass
class Held:
    """The defenses of one trainer and what its latest run made of them."""

    defenses: tuple[Defense, ...] = ()
    artifacts_dir: Path = Path()
    given_optimizer: bool = False
    """The user gave a finished optimizer."""
    takes_say: bool = True
    """``trainer.say = function`` is ours to read: the trainer's class has no ``say`` of its own."""
    sets_apart: bool = True
    """Unrepaired checkpoints are moved away after a repair; a command drops them by itself."""
    progress: Progress | None = None
    """Who is told how far a defense is before and after the steps, where somebody asked."""
    artifacts: list[Artifact] = field(default_factory=list[Artifact])
    trace: Trace = field(default_factory=Trace)
    session: Session | None = None
    """The run at work, None outside ``train()``."""
    step: Step | None = None
    """The micro-batch whose forward and backward run now."""
    micro: int = 0
    multipliers: list[Multipliers] = field(default_factory=list[Multipliers])
    rates: dict[str, float] = field(default_factory=dict[str, float])

    def hooking(self, hook: str) -> Session | None:
        """Return the session where one of its defenses has the hook."""
        return self.session if self.session is not None and self.session.having(hook) else None
