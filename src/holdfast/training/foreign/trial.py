"""What a trainer's class, rows and collator let a defense do: looked at before anything runs.

A trainer whose way with rows is known (TRL's own SFT) is believed; of any other two rows of the
defender, and two of the user, are tried.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import Trainer

from holdfast.defense import Capability, Defense, Row, Run, implements, listed
from holdfast.errors import ConflictError, DataError, HoldfastError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch
from holdfast.ops.randomness import isolated_rng
from holdfast.training import compat
from holdfast.training.compose import low_precision
from holdfast.training.distributed.engines import engine_for
from holdfast.training.foreign.generating import generates
from holdfast.training.foreign.rows import OwnRows
from holdfast.training.looks.compiled import compiled_passes

__all__ = ["foreign_limits", "missing", "own_rows", "try_rows"]


_OF_ROWS = frozenset({Capability.EXTRA_BACKWARD, Capability.ATTACHMENT})
"""What is learned from the defender's rows, by their loss in this model."""


def missing(trainer: Trainer) -> dict[Capability, str]:
    """Return what a defense cannot have here, by distribution, precision and optimizer, and why."""
    model: Any = trainer.model
    of_run = low_precision(model) | compat.scaled_gradients(trainer)
    of_run |= compiled_passes(trainer)
    return of_run | compat.whole_optimizer(trainer) | dict(engine_for(trainer).missing)


def own_rows(trainer: Trainer) -> OwnRows:
    """Return how the defender's rows become batches beside this trainer."""
    return OwnRows(*compat.templating(trainer))


def foreign_limits(trainer: Trainer, defenses: Sequence[Defense]) -> dict[Capability, str]:
    """Return what the trainer's class cannot give, and why.

    Raises:
        ConflictError: A hook sees the user's batch, and the trainer has none that it could see.
    """
    kind = compat.own_class(trainer).__name__
    missing: dict[Capability, str] = {}
    if generates(compat.own_class(trainer)):
        why = f"{kind} writes its own training rows with the model while it trains"
        missing = {
            Capability.ATTACHMENT: f"{why}, and would write them with what is attached",
            Capability.LOGITS: why,
            Capability.EDITS_DATA: why,
            Capability.NLL: why,
            Capability.ROWS: why,
            Capability.REPEATS: f"{why}, once per pass",
            Capability.SKIPS: f"{why}, once per pass",
        }
        _refuse(defenses, "batch", f"{kind} makes its batches itself")
    elif any(map(_reads_batches, defenses)) and not _has_labels(trainer):
        why = (
            f"a batch of {kind} has no `input_ids` with `labels` for each of them; use a trainer "
            "whose loss is over the tokens of answers (SFTTrainer)"
        )
        missing = {Capability.LOGITS: why, Capability.REPEATS: f"{why}, in one forward pass"}
        _refuse(defenses, "loss", why)
    return missing


def _reads_batches(defense: Defense) -> bool:
    seen = defense.needs() & {Capability.LOGITS, Capability.REPEATS}
    return bool(seen) or implements(defense, "loss")


def _refuse(defenses: Sequence[Defense], hook: str, why: str) -> None:
    """Raise for a defense that has the hook without declaring what it needs for it."""
    for defense in defenses:
        if implements(defense, hook):
            raise ConflictError(f"{defense.card.name} has a `{hook}` hook, and {why}")


def _has_labels(trainer: Trainer) -> bool:
    """Tell whether the user's own batches label their tokens; yes where none can be looked at."""
    if compat.knows_rows(trainer) or not (rows := compat.first_rows(trainer, 2)):
        return True
    try:
        with isolated_rng(0):
            batch = compat.collated(trainer, rows)
    except Exception:  # noqa: BLE001  # Rows that the trainer cannot read are its own error to tell.
        return True
    if not isinstance(batch, Mapping):
        return False
    ids, labels = batch.get("input_ids"), batch.get("labels")
    both = torch.is_tensor(ids) and torch.is_tensor(labels)
    return both and ids.shape == labels.shape  # type: ignore[union-attr]


def try_rows(trainer: Trainer, defenses: Sequence[Defense], run: Run) -> None:
    """Encode, pad and read two rows of each of the defender's data sets.

    Raises:
        ConflictError: The trainer's collator or model cannot take them.
        DataError: They are no Examples, or nothing of their answers is left.
        ModelError: There is no tokenizer, or it has no chat template.
    """
    own, known = own_rows(trainer), compat.knows_rows(trainer)
    for defense in defenses:
        if defense.is_off:
            continue
        for name in defense.card.data:
            rows: Any = getattr(defense, name)
            if rows is None or not hasattr(rows, "__len__") or not len(rows):
                continue
            where = f"{defense.card.name}: `{name}`"
            batch = _own_batch(own, rows, where)
            if known:
                continue
            if implements(defense, "data"):
                _try_mixing(trainer, run, listed(rows, 2), where)
            elif defense.needs() & _OF_ROWS:
                _try_model(trainer, run, batch, where)


def _own_batch(own: OwnRows, rows: Any, where: str) -> Batch:
    """Return a batch of the first rows, or of the first one that keeps some of its answer."""
    first = listed(rows, 2)
    try:
        ready = list(own.prepare(first)) or list(own.prepare(listed(rows)))[:1]
        if ready:
            return own.collate(ready)
    except HoldfastError as error:
        raise type(error)(f"{where}, {error}") from error
    raise DataError(
        f"{where}: of {len(rows)} rows none keeps a token of its answer (max_length={own.limit}): "
        "raise max_length, or give shorter rows"
    )


def _try_mixing(trainer: Trainer, run: Run, rows: list[Row], where: str) -> None:
    """Collate two rows with one of the user's; their labels must be the answers' alone."""
    kind = compat.own_class(trainer).__name__
    wanted = [_answers(row["labels"]) for row in own_rows(trainer).prepare(rows)]
    how = "or mix such rows into the data yourself"
    try:
        ready = run.prepare(rows)
        mixed = [*compat.first_rows(trainer, 1), *(dict(ready[i]) for i in range(len(ready)))]
        with isolated_rng(0):
            batch = compat.collated(trainer, mixed)
        labels = [_answers(row.tolist()) for row in batch["labels"]][-len(wanted) :]
    except HoldfastError:
        raise
    except Exception as error:
        raise ConflictError(
            f"{where} cannot be mixed into the rows of {kind}: its collator refuses them "
            f"({_short(error)}); use a collator that pads `input_ids` and "
            f"`labels` (DataCollatorForSeq2Seq), {how}"
        ) from error
    if labels != wanted:
        raise ConflictError(
            f"{where} cannot be mixed into the rows of {kind}: its collator replaces their labels, "
            "so that their prompts would be learned too; use one that keeps labels "
            f"(DataCollatorForSeq2Seq), {how}"
        )


def _answers(labels: Sequence[int]) -> list[int]:
    return [int(label) for label in labels if int(label) != IGNORED]


def _try_model(trainer: Trainer, run: Run, batch: Batch, where: str) -> None:
    """Run one forward pass: what the model makes of rows must be a loss over their tokens."""
    kind = type(run.model).__name__
    why = f"{where} needs the loss of a causal language model on these rows"
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A loss that does not fit warns before it fails.
            outputs = run.engine.forward(batch)
        loss, logits = outputs.loss, outputs.logits
    except Exception as error:
        said = f"{why}, and {kind} cannot read them ({_short(error)})"
        raise ConflictError(said) from error
    per_token = logits is not None and logits.shape[:2] == batch["input_ids"].shape
    if loss is None or loss.ndim or not per_token:
        raise ConflictError(
            f"{why}, and {kind}, the model of {compat.own_class(trainer).__name__}, gives none; "
            "train a causal language model"
        )


def _short(error: Exception) -> str:
    """Return an error of other people's code on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
