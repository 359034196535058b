"""Evaluation rows in however many processes: each counts once, and as much as its answer is long.

accelerate fills the last batches with rows from the beginning, and the Trainer takes the mean of
each batch for each of its rows: a loss, and what is kept by it, would depend on how many processes
there are and on how rows fall into batches.
"""

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from torch import Tensor
from torch.utils.data import BatchSampler

from holdfast.training.compat import counted_labels, step_figures

__all__ = ["Answers", "each_once", "whole_batches"]

_RATIOS = ("mean_token_accuracy", "entropy")
"""What TRL tells of each batch as a mean over its answer tokens, and of all as a mean of those."""


class _Level(BatchSampler):
    """Batches of the rows, and behind them as many of one row as leave no process without one."""

    def __init__(self, batches: Any, processes: int) -> None:
        self.batches, self.processes = batches, processes
        self.batch_size, self.drop_last = batches.batch_size, False

    def __len__(self) -> int:
        return -(-len(self.batches) // self.processes) * self.processes

    def __iter__(self) -> Iterator[list[int]]:
        first: list[int] = []
        for batch in self.batches:
            first = first or batch[:1]
            yield batch
        for _ in range(len(self) - len(self.batches)):
            yield list(first)


@contextmanager
def whole_batches(accelerator: Any) -> Generator[None]:
    """Let a loader that is prepared in the body give each process batches of its own."""
    how = accelerator.dataloader_config
    kept = how.split_batches, how.dispatch_batches
    how.split_batches, how.dispatch_batches = False, False
    try:
        yield
    finally:
        how.split_batches, how.dispatch_batches = kept


def each_once(loader: Any) -> Any:
    """Return a prepared loader, which has each row in one batch of one process and no other.

    A process that is left without rows at the end has a batch that ``Answers`` does not count.
    Nothing is done where the user drops the last rows, or there is one process.
    """
    shard: Any = getattr(loader, "batch_sampler", None)
    if isinstance(shard, BatchSamplerShard) and not (
        shard.drop_last or isinstance(shard.batch_sampler, _Level)
    ):
        shard.batch_sampler = _Level(shard.batch_sampler, shard.num_processes)
        shard.even_batches = False
    return loader


class Answers:
    """The answers that one look has read, batch by batch: their mean losses, and their tokens."""

    def __init__(self, trainer: Any, loader: Any) -> None:
        self._trainer = trainer
        self._losses: list[Tensor] = []
        self._tokens: list[Tensor] = []
        shard: Any = getattr(loader, "batch_sampler", None)
        inner = getattr(shard, "batch_sampler", None)
        self._own: int | None = None
        """How many batches are this process's; None: all that come."""
        if isinstance(inner, _Level):
            self._own = len(range(shard.process_index, len(inner.batches), shard.num_processes))

    def own(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the next batch, without a token to learn where it only stands in for one."""
        found = dict(inputs)
        if len(self._tokens) == self._own:
            names = [name for name in ("labels", "shift_labels") if name in found]
            found |= {name: torch.full_like(found[name], -100) for name in names}
        labels = counted_labels(self._trainer, found)
        self._tokens.append(torch.zeros(()) if labels is None else labels.ne(-100).sum())
        return found

    def add(self, loss: Tensor) -> None:
        """Take the mean loss of the batch that was given last."""
        self._losses.append(loss.detach().mean())

    def tell(self, metrics: dict[str, float], prefix: str) -> None:
        """Put the means over all answer tokens of all processes where those of batches are.

        Every process calls this. As with the Trainer, a batch without a finite loss is left out
        unless ``logging_nan_inf_filter`` is off or there is no other.
        """
        if not self._losses or f"{prefix}_loss" not in metrics:
            return
        losses, tokens = self._gathered(self._losses), self._gathered(self._tokens)
        counted = tokens > 0
        finite = counted & losses.isfinite()
        if self._trainer.args.logging_nan_inf_filter and bool(finite.any()):
            counted = finite
        if bool(counted.any()):
            weighed = losses[counted] * tokens[counted]
            metrics[f"{prefix}_loss"] = float(weighed.sum() / tokens[counted].sum())
        by_step = tokens.sum(dim=0)  # steps
        figures = step_figures(self._trainer, "eval") or {}
        for name in _RATIOS:
            each = torch.tensor(figures.get(name, ()), dtype=torch.float64)
            if len(each) == len(by_step) and bool(by_step.any()):
                figures[name] = [float((each * by_step).sum() / by_step.sum())]

    def _gathered(self, each: list[Tensor]) -> Tensor:
        """Return the values of every process: processes × steps."""
        device = self._trainer.accelerator.device
        own = torch.stack([value.to(device, torch.float32) for value in each])
        return self._trainer.accelerator.gather(own[None]).cpu().double()
