"""Extra passes in the settings of the user's own: autocast, and activations recomputed."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["recompute_early", "users_autocast"]


@contextmanager
def users_autocast(trainer: Any) -> Generator[None]:
    """Run the body under the mixed precision of the trainer's own forward.

    Accelerate wraps the model's ``forward`` when training begins, and what runs before would run
    in other numbers; inside the loop a second autocast of the same kind changes nothing.
    """
    with trainer.compute_loss_context_manager(), trainer.accelerator.autocast():
        yield


def recompute_early(trainer: Any) -> None:
    """Turn on what ``Trainer`` turns on later, for passes before step 0: recomputed activations."""
    args: Any = trainer.args
    turn_on = getattr(trainer.model, "activation_checkpointing_enable", None)
    if not getattr(args, "activation_checkpointing", False) or turn_on is None:
        return
    options = dict(args.activation_checkpointing_kwargs or {})
    every, offload = options.pop("every_n_layers", 1), options.pop("offload", False)
    turn_on(activation_checkpointing_kwargs=options or None, every_n_layers=every, offload=offload)
