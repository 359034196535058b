"""Trackers that the user asked for (TensorBoard, W&B, ...) get holdfast's own figures as well.

They get numbers alone. Losses, of defenses too, come to them as the run goes; here are the shares
of answers before and after, by the Trainer's own ``log``.
"""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from holdfast.evaluation import Measurement

__all__ = ["log_shares", "tell_after", "track"]

RUNS = "runs"
"""Where TensorBoard's files lie in the output; its default would be dropped with checkpoints."""


def track(trainer: Any, before: Measurement | None, folder: Path) -> None:
    """Let the trainer's trackers have what was measured before, and keep their files in ``folder``.

    Trackers begin with the training, so that is when they are told.
    """
    for callback in trainer.callback_handler.callbacks:
        if getattr(callback, "logging_dir", "") is None:
            callback.logging_dir = str(folder / RUNS)
    trainer.add_callback(_Before(trainer, before))


def log_shares(trainer: Any, when: str, measured: Measurement | None) -> None:
    """Log every share that was measured, such as ``before/hs``."""
    if measured is not None:
        trainer.log({f"{when}/{name}": share.value for name, share in measured.shares.items()})


def tell_after(trainer: Any, measured: Measurement | None) -> list[str]:
    """Log the shares after the training; a tracker that fails by then costs the run nothing.

    Returns:
        What the result says of it: the kind of the error alone, whose text may hold a key.
    """
    try:
        log_shares(trainer, "after", measured)
    except Exception as error:  # noqa: BLE001  # It is somebody else's code, and all is done.
        asked = ", ".join(map(str, trainer.args.report_to))
        return [f"a tracker ({asked}) failed at the shares after ({type(error).__name__}): they "
                "may lack there, and stand in this result"]  # fmt: skip
    return []


class _Before(TrainerCallback):
    def __init__(self, trainer: Any, measured: Measurement | None) -> None:
        self._trainer, self._measured = trainer, measured

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Log what was measured before."""
        log_shares(self._trainer, "before", self._measured)
