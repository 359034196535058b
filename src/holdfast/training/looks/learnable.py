"""Whether every sequence that a trainer has made of the rows teaches something."""

from typing import Any

from transformers import Trainer

from holdfast.errors import ConfigError

__all__ = ["refuse_unlearnable"]


def refuse_unlearnable(trainer: Trainer, rows: int) -> None:
    """Raise ``ConfigError`` where sequences have no label, rows were dropped, or no step is taken.

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
    _refuse_no_step(trainer, len(made))
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


def _refuse_no_step(trainer: Trainer, made: int) -> None:
    """Raise where the last batch is left out and is the only one: the run would take no step."""
    if not getattr(trainer.args, "dataloader_drop_last", False):
        return
    least = trainer.args.train_batch_size * trainer.accelerator.num_processes
    if made < least:
        raise ConfigError(
            f"dataloader_drop_last=True leaves out a batch that is not full, and {made} sequences "
            f"fill none of {least}: no step would be taken; lower `batch_size`, or leave that out"
        )


def _teaches(trainer: Trainer, row: Any) -> bool:
    collate: Any = trainer.data_collator
    labels = collate([row]).get("labels")
    # The first label has no prediction.
    return labels is None or bool(labels[..., 1:].ge(0).any())
