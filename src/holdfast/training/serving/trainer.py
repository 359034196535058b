"""What a trainer does with a model that has something attached, besides its steps."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.defense import Run
from holdfast.training import compat
from holdfast.training.looks.users_loss import own_loss
from holdfast.training.serving.optimizer import unwrapped
from holdfast.training.serving.restarts import Start
from holdfast.training.serving.secrets import withheld

if TYPE_CHECKING:
    from holdfast.training.foreign.held import Held
    from holdfast.training.session import Session

__all__ = ["ServingTrainer", "seen_by"]


class ServingTrainer(compat.LoopHooks):
    """Serves what is measured, and begins anew cleanly; mixed in before the wrapped class."""

    _holdfast: "Held"

    def _holdfast_served(self) -> AbstractContextManager[None]:
        session = self._holdfast.session
        return nullcontext() if session is None else session.served()

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predict with the model as it would be served."""
        with self._holdfast_served():
            return super().predict(*args, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate with the model as it would be served, whoever asks for it."""
        with self._holdfast_served():
            return super().evaluation_loop(*args, **kwargs)

    def _push_from_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        with withheld(self.args):
            return super()._push_from_checkpoint(*args, **kwargs)  # type: ignore[misc]

    def _save(self, *args: Any, **kwargs: Any) -> None:
        with self._holdfast_served(), withheld(self.args):
            super()._save(*args, **kwargs)

    def _holdfast_starts(self, session: "Session") -> None:
        """Remember how the loop begins, or put it all back where the loop begins once more."""
        if not (session.defenses and self.args.auto_find_batch_size):
            return
        if session.start is None:
            session.start = Start.of(self, session.run.model, session.defenses)
        else:
            session.detach()
            session.start.again(self, session.run.model, session.defenses)
            self._holdfast.micro = 0


def seen_by(trainer: Any, run: Run) -> Run:
    """Return the run with what is known of its training only once it has begun."""
    return replace(
        run,
        optimizer=lambda: unwrapped(trainer.optimizer),
        called=lambda: trainer.model_wrapped,
        users_loss=partial(own_loss, trainer, run),
    )
