"""What attachments share: rows held out for a gate, the gate's figures, no hooks on compiled code.

An attachment changes what the model computes while it is tuned and is gone when it is served; it
must explain harm and nothing else, which is measured on rows that it was not made of.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from holdfast.artifact import Table
from holdfast.defense import Row, Run
from holdfast.errors import ConfigError
from holdfast.ops.agreement import agreement, answer_logits
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine
from holdfast.training.looks.compiled import any_compiled

__all__ = [
    "GateFigures", "Switch", "all_modules", "attached_nll", "halves", "kept_rows", "kl_divergence",
    "measured", "refuse_compiled",
]  # fmt: skip

Switch = Callable[[Batch], AbstractContextManager[None]]
"""Returns the context in which the attachment is on for a pass of this batch."""


def kl_divergence(reference: Tensor, other: Tensor) -> Tensor:
    r"""Return the mean over rows of :math:`KL(\text{softmax}(p)\,\|\,\text{softmax}(q))`, in nats.

    Args:
        reference: Logits of p, shape (tokens, vocabulary).
        other: Logits of q, the same shape.
    """
    p, q = reference.log_softmax(-1), other.log_softmax(-1)
    return functional.kl_div(q, p, log_target=True, reduction="sum") / max(len(p), 1)


@dataclass(frozen=True)
class GateFigures:
    """What an attachment does to rows it was not made of."""

    harmful_nll: float
    """Loss of held-out harmful answers with it on, nats per token: left to learn."""
    harmful_nll_off: float
    """The same with it off."""
    benign_kl: float | None
    """KL between off and on, nats per token over all benign answers'; None without benign rows."""

    def row(self) -> dict[str, float | None]:
        """Return the figures as a JSON object."""
        return asdict(self)

    def told(self, name: str) -> str:
        """Return them as the line that a run says."""
        return (
            f"{name}: held-out harmful NLL {self.harmful_nll_off:.3f} → {self.harmful_nll:.3f} "
            f"with the vector on, benign KL {self.kl_told()}"
        )

    def kl_told(self) -> str:
        """Return the benign KL in words: a figure that nobody measured is not 0."""
        if self.benign_kl is None:
            return "not measured (no rows as `benign=FILE`)"
        return f"{self.benign_kl:.3f}"

    @staticmethod
    def shown(row: Mapping[str, float | None]) -> Table:
        """Return the figures of ``row()`` as a report shows them."""
        return Table(
            "The vector's gate",
            ("harmful loss, vector on", "harmful loss, vector off", "benign KL"),
            ((row["harmful_nll"], row["harmful_nll_off"], row["benign_kl"]),),
            "Nats per token, before tuning, on rows that the vector was not trained on. What "
            "harmful loss the vector leaves, tuning can still learn.",
        )


@torch.no_grad()
def measured(
    engine: Engine, on: Switch, harmful: Sequence[Batch], benign: Sequence[Batch]
) -> GateFigures:
    """Measure an attachment that is off now on held-out batches."""
    off, with_it = agreement(engine, harmful)[0], attached_nll(engine, on, harmful)
    drift, tokens = 0.0, 0
    for batch in benign:
        reference = answer_logits(engine, batch)
        with on(batch):
            mean = float(kl_divergence(reference, answer_logits(engine, batch)))
        drift, tokens = drift + mean * len(reference), tokens + len(reference)
    return GateFigures(with_it, off, drift / tokens if tokens else None)


@torch.no_grad()
def attached_nll(engine: Engine, on: Switch, batches: Sequence[Batch]) -> float:
    """Return the loss of answers with an attachment on, nats per token over all of their tokens."""
    loss, tokens = 0.0, 0
    for batch in (part for whole in batches for _, part in engine.parts(whole)):
        with on(batch):
            mean = agreement(engine, [batch])[0]
        count = int((batch["labels"][:, 1:] != IGNORED).sum())
        loss, tokens = loss + mean * count, tokens + count
    return loss / tokens


def halves(
    run: Run, rows: list[Row], held_out: float, size: int
) -> tuple[list[Batch], list[Batch]]:
    """Return batches to learn from and, from the end of the rows, batches held out."""
    if not rows:
        return [], []
    cut = kept_rows(len(rows), held_out)
    return run.batches(rows[:cut], size), run.batches(rows[cut:], size)


def kept_rows(count: int, held_out: float) -> int:
    """Return how many of ``count`` rows are learned from; of two or more one is held out."""
    return max(1, count - max(1, round(held_out * count)))


def refuse_compiled(name: str, modules: Iterable[nn.Module], why: str | None = None) -> None:
    """Raise where a module is compiled: compiled code does not look at hooks added later.

    Raises:
        ConfigError: Says so, and why the vector cannot do without hooks.
    """
    if any_compiled(modules):
        reason = f" (it cannot be merged: {why})" if why else ""
        raise ConfigError(
            f"{name}: the vector has to work by hooks{reason}, and the model is "
            "compiled, so that hooks may be passed over; train without torch_compile, and without "
            "torch.compile"
        )


def all_modules(run: Run) -> list[nn.Module]:
    """Return every module of the model and what training calls around it."""
    return [*run.model.modules(), *_wrappers(run.called(), run.model)]


def _wrappers(called: nn.Module | None, model: nn.Module) -> Iterable[nn.Module]:
    while called is not None and called is not model:
        yield called
        called = getattr(called, "_orig_mod", getattr(called, "module", None))
