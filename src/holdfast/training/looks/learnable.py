"""Whether every sequence that a trainer has made of the rows teaches something."""

from typing import Any

from transformers import Trainer

from holdfast.errors import ConfigError

__all__ = ["refuse_unlearnable"]


def refuse_unlearnable(trainer: Trainer, rows: int) -> None:
    """Raise ``ConfigError`` where prepared sequences have no label, or rows were dropped.

    A batch without labels has a loss of 0 or NaN, and a run of such batches succeeds and teaches
    nothing. The collator is asked, so that what counts is what the steps will see.

    Args:
        trainer: Built, its rows prepared.
        rows: How many rows it was given.
    """
    made: Any = trainer.train_dataset
    if made is None or not len(made):
        raise ConfigError(
            f"SFTTrainer makes no sequence of the {rows} rows: raise max_length, or do without "
            "packing"
        )
    packed = bool(getattr(trainer.args, "packing", False))
    if not packed and len(made) < rows:
        raise ConfigError(
            f"SFTTrainer drops {rows - len(made)} of {rows} rows, which have nothing left at "
            "max_length: raise it, or remove them"
        )
    empty = [number for number in range(len(made)) if not _teaches(trainer, made[number])]
    if empty:
        what = "packed sequences" if packed else "rows"
        raise ConfigError(
            f"{len(empty)} of {len(made)} {what} hold no token of an answer (the first is number "
            f"{empty[0] + 1}): raise max_length, or leave out packing"
        )


def _teaches(trainer: Trainer, row: Any) -> bool:
    collate: Any = trainer.data_collator
    labels = collate([row]).get("labels")
    # The first label has no prediction.
    return labels is None or bool(labels[..., 1:].ge(0).any())
