"""What a trainer does with a model that has something attached, besides its steps."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.defense import Run
from holdfast.training import compat
from holdfast.training.serving.optimizer import unwrapped
from holdfast.training.serving.places import set_unrepaired_apart
from holdfast.training.serving.restarts import Start
from holdfast.training.serving.secrets import withheld

if TYPE_CHECKING:
    from holdfast.training.session import Session

__all__ = ["ServingTrainer", "seen_by"]


class ServingTrainer(compat.FinalizeHook):
    """Serves what is measured, and begins anew cleanly; mixed in before the wrapped class."""

    session: "Session | None"
    artifacts_dir: Path

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict with the model as it would be served."""
        session = self.session
        served: AbstractContextManager[None] = session.served() if session else nullcontext()
        with served:
            return super().predict(*args, **kwargs)

    def _save(self, *args: Any, **kwargs: Any) -> None:
        if self.session is None:
            set_unrepaired_apart(self)
        with withheld(self.args):
            super()._save(*args, **kwargs)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        session = self.session
        if session is not None and session.defenses and self.args.auto_find_batch_size:
            if session.start is None:
                session.start = Start.of(self, session.run.model, session.defenses)
            else:
                session.detach()
                session.start.again(self, session.run.model, session.defenses)
                self._micro = 0
        return super()._inner_training_loop(*args, **kwargs)


def seen_by(trainer: Any, run: Run) -> Run:
    """Return the run with what is known of its training only once it has begun."""
    return replace(
        run,
        optimizer=lambda: unwrapped(trainer.optimizer),
        called=lambda: trainer.model_wrapped,
    )
