"""Whether the user's rows are still rows, not packed, and are those that the loader loads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from datasets import Dataset
from torch.utils.data import DataLoader, SequentialSampler

from holdfast.defense import Capability, Defense, Row, implements
from holdfast.errors import ConfigError, ConflictError
from holdfast.ops.batches import count_examples
from holdfast.ops.engine import Batch
from holdfast.training.compat import is_stock

__all__ = ["held_by", "packed_rows", "refuse_replaced_loader", "told_apart"]

_LOOKED_AT = 256
"""Rows that are compared between the loader and the data set, evenly spaced, the last included."""


def packed_rows(trainer: Any) -> dict[Capability, str]:
    """Return that single rows are missing, and why, where several are joined into one."""
    rows = trainer.train_dataset
    why = None
    if getattr(trainer.args, "packing", False):
        way = getattr(trainer.args, "packing_strategy", "")
        why = f"`packing=True` ({way}) joins the user's rows"
    elif isinstance(rows, Dataset) and _joined(rows):
        why = "the training data are packed: one row holds several"
    if why is None:
        return {}
    said = f"{why}, so that they cannot be told apart or counted any more; set packing=False"
    return {Capability.ROWS: said}


def _joined(rows: Dataset) -> bool:
    """Tell whether a row says of itself that several were joined, as packers write it down."""
    head = rows.select(range(min(len(rows), _LOOKED_AT)))
    if "seq_lengths" in rows.column_names:
        return any(len(lengths) > 1 for lengths in head["seq_lengths"])
    if "position_ids" in rows.column_names:
        return any(list(positions).count(0) > 1 for positions in head["position_ids"])
    return False


def told_apart(collate: Callable[[list[Row]], Batch]) -> Callable[[list[Row]], Batch]:
    """Return the collator, which raises where it joins rows and does not say where each begins.

    A defense counts rows of a batch; a padding-free collator gives their positions.
    """

    def checked(rows: list[Row]) -> Batch:
        batch = collate(rows)
        found = count_examples(batch)
        if found is not None and found != len(rows):
            raise ConfigError(
                f"the data collator made {found} rows of {len(rows)} and does not say where each "
                "begins (no position_ids, seq_idx or cu_seq_lens_q), so the defense cannot count "
                "them; set padding_free=False, or use a collator that pads"
            )
        return batch

    return checked


def held_by(trainer: Any, loader: Any, defenses: Sequence[Defense], users: int | None) -> Any:
    """Return the training loader, or raise that it does not load the rows of the defenses.

    Args:
        trainer: The trainer; its ``train_dataset`` is what the ``data`` hooks made.
        loader: What its ``get_train_dataloader`` returned.
        defenses: The defenses with a ``data`` hook; with none the loader is not looked at.
        users: Rows before those hooks, where they can be counted; what was added lies behind them.

    Raises:
        ConflictError: The loader reads other rows, or only some of them, or cannot be looked at,
            or it reads them in order and the run ends before those that were added.
    """
    rows = trainer.train_dataset
    if not defenses or (not hasattr(rows, "__len__") and is_stock(trainer, "get_train_dataloader")):
        return loader  # A stream cannot be looked at; the stock loader reads what it is given.
    why = _other_rows(rows, loader)
    if why is not None:
        raise ConflictError(
            f"{defenses[0].card.name} acts on the training rows, and the trainer's own "
            f"get_train_dataloader {why}: build the loader from self.train_dataset, whole, or "
            "leave get_train_dataloader as it is"
        )
    if users is None or not isinstance(_sampler(loader), SequentialSampler):
        return loader
    if _drawn(trainer.args, loader, len(rows)) <= users < len(rows):
        raise ConflictError(
            f"{defenses[0].card.name} added {len(rows) - users} rows to the user's {users}; taken "
            "in order they come last, and the run ends before the first of them: shuffle the rows, "
            "or train for more steps"
        )
    return loader


def refuse_replaced_loader(trainer: Any, defenses: Sequence[Defense]) -> None:
    """Raise where ``get_train_dataloader`` was set on the object: then nobody can look at it."""
    acting = [d for d in defenses if implements(d, "data")]
    if acting and "get_train_dataloader" in vars(trainer):
        raise ConflictError(
            f"{acting[0].card.name} acts on the training rows, and get_train_dataloader was set on "
            "this trainer object, so that its loader cannot be looked at: define it in a subclass"
        )


def _other_rows(rows: Any, loader: Any) -> str | None:
    """Return what is wrong with the loader, None where it holds the rows."""
    found: Any = getattr(loader, "dataset", None)
    if found is rows and not isinstance(loader, DataLoader):
        return None
    if found is None or not hasattr(found, "__len__") or not hasattr(rows, "__len__"):
        return None if found is rows else "returns something whose rows cannot be looked at"
    if len(found) != len(rows):
        return f"loads {len(found)} rows where there are {len(rows)}"
    last = len(rows) - 1
    places = sorted({last * n // _LOOKED_AT for n in range(_LOOKED_AT)} | {last})
    if found is not rows and any(not _same(found[i], rows[i]) for i in places if i >= 0):
        return "loads other rows"
    return _partly(loader, len(rows))


def _drawn(args: Any, loader: Any, rows: int) -> int:
    """Return how many rows a run draws in all."""
    if args.max_steps <= 0:
        return int(args.num_train_epochs * rows)
    batch = getattr(_batches(loader), "batch_size", None) or args.train_batch_size
    return int(args.max_steps * args.gradient_accumulation_steps * batch * args.world_size)


def _batches(loader: Any) -> Any:
    batches = getattr(loader, "batch_sampler", None)
    return getattr(batches, "batch_sampler", batches)  # Accelerate wraps the user's own.


def _sampler(loader: Any) -> Any:
    return getattr(_batches(loader), "sampler", None) or getattr(loader, "sampler", None)


def _partly(loader: Any, count: int) -> str | None:
    sampler = _sampler(loader)
    drawn = len(sampler) if hasattr(sampler, "__len__") else None
    return None if drawn in (None, count) else f"draws {drawn} of {count} rows"


def _same(left: Any, right: Any) -> bool:
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return left is right
    common = left.keys() & right.keys() & {"input_ids", "labels"}
    return bool(common) and all(list(left[k]) == list(right[k]) for k in common)
