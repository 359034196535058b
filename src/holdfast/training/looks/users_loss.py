"""Whether the user's loss is the plain mean negative log-likelihood, found by computing both.

Options tell little: a loss comes from ``loss_type``, label smoothing, ``compute_loss_func``, a
subclass or a patched method. So a few pairs of the user's rows are tried before step 0.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the name PyTorch gives it)
from torch import Tensor

from holdfast.defense import Capability, Run
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch
from holdfast.ops.modules import trainable
from holdfast.ops.randomness import isolated_rng
from holdfast.ops.recompute import inference_mode_flags
from holdfast.training.compat import is_stock, times_averaged
from holdfast.training.looks.counters import uncounted
from holdfast.training.looks.passes import users_autocast

__all__ = ["other_loss", "own_loss"]

_EXACT, _ROUNDED = 1e-3, 3e-2
"""Relative difference that two ways to the same loss may have, in float32 and below."""


def other_loss(trainer: Any, run: Run) -> dict[Capability, str]:
    """Return that NLL is missing, and why, where the trainer's loss is another one.

    The value and the gradient of the last trained tensors are compared, on up to three pairs of
    rows. Nothing is counted and no random number drawn.
    """
    with uncounted(trainer), isolated_rng(run.seed), inference_mode_flags(run.model):
        for batch in _pairs(trainer, run):
            if (more := _added(trainer, run, batch)) != 0:
                why = f"the model reads {more} positions more than a row has (a prompt is learned)"
                return {Capability.NLL: f"{why}; tune the model or LoRA instead"}
            why = _difference(trainer, run, batch)
            if why is not None:
                return {Capability.NLL: f"{why}; {_way_out(trainer)}"}
    return {}


def own_loss(trainer: Any, run: Run) -> float | None:
    """Return the loss of two of the user's rows by code of the user's; None where it is stock.

    Nothing is counted and no random number drawn.
    """
    if trainer.compute_loss_func is None and is_stock(trainer, "compute_loss"):
        return None
    with uncounted(trainer), isolated_rng(run.seed), inference_mode_flags(run.model):
        for batch in _pairs(trainer, run):
            count = (batch["labels"][:, 1:] != IGNORED).sum()
            with torch.no_grad(), users_autocast(trainer):
                loss = trainer.compute_loss(run.model, batch, num_items_in_batch=count)
                return float(loss) / times_averaged(trainer, count)
    return None


def _pairs(trainer: Any, run: Run) -> Iterator[Batch]:
    rows: Any = trainer.train_dataset
    if not (hasattr(rows, "__len__") and hasattr(rows, "__getitem__")) or len(rows) == 0:
        return
    last = len(rows) - 1
    collate = trainer._get_collator_with_removed_columns(run.collate)
    for first in dict.fromkeys((0, last // 2, max(0, last - 1))):
        batch: Any = collate([rows[first], rows[min(first + 1, last)]])
        if "labels" in batch and "input_ids" in batch:
            yield trainer._prepare_inputs(batch)


def _difference(trainer: Any, run: Run, batch: Batch) -> str | None:
    """Return how the trainer's loss differs from the plain one, None where it does not."""
    count = (batch["labels"][:, 1:] != IGNORED).sum()
    if not int(count):
        return None
    tried = list(trainable(run.model).values())[-3:]
    with torch.enable_grad(), users_autocast(trainer):
        loss = trainer.compute_loss(run.model, dict(batch), num_items_in_batch=count)
        loss = loss / times_averaged(trainer, count)
        theirs, slope = float(loss.detach()), _slopes(loss, tried)
        loss = _plain(run, batch)
        ours, wanted = float(loss.detach()), _slopes(loss, tried)
    low = any(p.dtype != torch.float32 for p in run.model.parameters()) or trainer.args.bf16
    allowed = _ROUNDED if low else _EXACT
    if abs(theirs - ours) > allowed * max(abs(ours), 1e-6):
        return (
            f"on two of the rows the trainer's loss is {theirs:.4g} and their mean negative "
            f"log-likelihood {ours:.4g} nats per token"
        )
    apart, size = float((slope - wanted).norm()), float(wanted.norm())
    if apart > allowed * size + 1e-9:
        return (
            "on two of the rows the gradient of the trainer's loss is "
            f"{apart / max(size, 1e-9):.2g} of its length away from that of their mean negative "
            "log-likelihood"
        )
    return None


def _added(trainer: Any, run: Run, batch: Batch) -> int:
    """Return how many positions the model puts before the batch's own: those of prompt tuning."""
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    with torch.no_grad(), users_autocast(trainer):
        logits = run.model(**inputs, use_cache=False).logits
    return logits.shape[1] - batch["labels"].shape[1]


def _plain(run: Run, batch: Batch) -> Tensor:
    """Return the mean negative log-likelihood of the batch's answers, with its graph."""
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    logits = run.model(**inputs, use_cache=False).logits[:, :-1].float()
    labels = batch["labels"][:, 1:].to(logits.device)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def _slopes(loss: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    if not (loss.requires_grad and tensors):
        return torch.zeros(1)
    found: Any = torch.autograd.grad(loss, tensors, allow_unused=True)
    whole = [t.new_zeros(t.shape) if g is None else g for t, g in zip(tensors, found, strict=True)]
    return torch.cat([part.detach().flatten().float().cpu() for part in whole])


def _way_out(trainer: Any) -> str:
    """Return what to set, and what was found where a loss usually comes from."""
    args = trainer.args
    given = [
        f"`{name}={value}`"
        for name, off in (("loss_type", "nll"), ("label_smoothing_factor", 0.0))
        if (value := getattr(args, name, off)) != off
    ]
    given += ["compute_loss_func="] if trainer.compute_loss_func is not None else []
    seen = f" (here: {', '.join(given)})" if given else ""
    return (
        "train with the plain loss: no loss_type but nll, no label smoothing, no compute_loss_func "
        f"or compute_loss of your own{seen}"
    )
