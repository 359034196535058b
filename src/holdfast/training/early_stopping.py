"""Early stopping that a run which goes on from a checkpoint continues as it was."""

from typing import Any

from transformers import EarlyStoppingCallback

__all__ = ["EarlyStopping"]


class EarlyStopping(EarlyStoppingCallback):
    """Stops after ``early_stopping_patience`` looks in a row without a better one.

    A run may be killed between its last checkpoint and its end. The Trainer takes at least one step
    when it goes on, so that this step is neither looked at nor saved nor logged.
    """

    _over = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """See whether the checkpoint that the run goes on from was its last."""
        super().on_train_begin(args, state, control, **more)
        self._over = self.early_stopping_patience_counter >= self.early_stopping_patience

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let nothing of a step count that comes after the end."""
        self._stop(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let nothing of an epoch count that comes after the end."""
        self._stop(control)

    def _stop(self, control: Any) -> None:
        if self._over:
            control.should_training_stop = True
            control.should_evaluate = control.should_save = control.should_log = False
