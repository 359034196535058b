"""Test-only defenses for hooks that no registered defense uses yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.defense import Backward, Card, Defense, Row, Run, Stage, Step
from holdfast.ops.engine import Batch
from holdfast.ops.modules import ModuleRef
from holdfast.ops.weights import copied, put


def card(name: str, strength: str = "strength", **more: Any) -> Card:
    """Return the card of a test-only defense."""
    return Card(
        name=name, summary="A test.", stage=Stage.TUNE, paper="control", strength=strength,
        cost="none", **more,
    )  # fmt: skip


@dataclass
class RoleRates(Defense):
    """Multiplies the learning rate of one role by ``ratio``, and by 0 from ``until`` on."""

    role: str = "q"
    ratio: float = 1.0
    until: float = 1.0

    card: ClassVar[Card] = card("role_rates", strength="ratio")

    def learning_rate(self, module: ModuleRef, progress: float) -> float:
        if module.role != self.role:
            return 1.0
        return self.ratio if progress < self.until else 0.0


@dataclass
class SameLossAgain(Defense):
    """Adds ``strength`` times the user's own mean loss, from the logits."""

    strength: float = 1.0

    card: ClassVar[Card] = card("same_loss_again")

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor:
        logits, labels = outputs.logits[:, :-1].float(), batch["labels"][:, 1:]
        return self.strength * functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100
        )


@dataclass
class PromptsHidden(Defense):
    """Replaces the third token of every prompt by ``<unk>``."""

    strength: float = 1.0

    card: ClassVar[Card] = card("prompts_hidden")

    def batch(self, step: Step, batch: Batch) -> Batch:
        return {**batch, "input_ids": hidden(batch["input_ids"])} if self.strength else batch


def hidden(ids: Tensor) -> Tensor:
    """Return the ids with ``<unk>`` in the third place."""
    out = ids.clone()
    out[:, 2] = 3
    return out


@dataclass
class KeptWeights(Defense):
    """Puts every tensor of one role back after each update, and notes the steps it saw."""

    role: str = "q_proj"

    start_: dict[str, Tensor] = field(default_factory=dict[str, Tensor], init=False)
    seen_: list[int] = field(default_factory=list[int], init=False)

    card: ClassVar[Card] = card("kept_weights", strength="role")

    def before(self, run: Run) -> None:
        self.start_ = copied({n: p for n, p in run.engine.parameters().items() if self.role in n})

    def after_update(self, step: Step) -> None:
        put(step.engine.parameters(), self.start_)
        self.seen_.append(step.number)


@dataclass
class Planted(Defense):
    """The base of the broken defenses: one gradient term that pulls the weights towards 0."""

    strength: float = 0.1
    """Weight of the pull."""

    card: ClassVar[Card] = card("planted")

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        loss = backward()
        if step.last and self.strength:
            pull = {n: p.detach() for n, p in step.engine.parameters().items()}
            step.engine.add_gradient(pull, self.strength)
        return loss


@dataclass
class NeedsRows(Defense):
    """Takes a data set and refuses to go without, at any strength."""

    rows: Sequence[Row] | None = None
    strength: float = 1.0

    card: ClassVar[Card] = card("needs_rows", data=("rows",))


def noise_like(tensor: Tensor, scale: float) -> Tensor:
    """Return fixed noise that does not touch the global random state."""
    rng = torch.Generator().manual_seed(int(tensor.numel()))
    return scale * torch.randn(tensor.shape, generator=rng).to(tensor.dtype)
