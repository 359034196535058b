"""What a row is chosen by: harm as the aligned model has it, the task as the tuned one does."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from holdfast.defenses.security_vectors import kl_divergence
from holdfast.ops.agreement import agreement, answer_logits
from holdfast.ops.engine import Batch, Engine

Judged = list[tuple[Batch, Tensor]]
"""Batches, each with the logits that a reference model predicts its answer tokens by."""


class Score(NamedTuple):
    """How far a model is from both of its references; less is better."""

    harmful: float
    """KL(π_0‖π_w) at the refusals' tokens, or their loss where π_0 is not at hand; in nats."""
    task: float
    """KL(π_T‖π_w) at the task's answer tokens, nats per token; 0 where there are no rows."""

    @property
    def total(self) -> float:
        """Their sum, by which rows are compared."""
        return self.harmful + self.task


@torch.no_grad()
def predicted(engine: Engine, batches: Sequence[Batch]) -> Judged:
    """Return the batches with what the model as it is predicts their answer tokens by."""
    return [(batch, answer_logits(engine, batch)) for batch in batches]


@torch.no_grad()
def drift(engine: Engine, judged: Judged) -> float:
    r"""Return the mean over answer tokens of :math:`KL(\pi_{ref}\,\|\,\pi_w)`, in nats.

    Args:
        engine: The engine of the model at w.
        judged: What ``predicted`` returned of the reference; nothing is 0.
    """
    total = tokens = 0.0
    for batch, reference in judged:
        total += float(kl_divergence(reference, answer_logits(engine, batch))) * len(reference)
        tokens += len(reference)
    return total / tokens if tokens else 0.0


class Objective:
    r""":math:`KL(\pi_0\|\pi_w)` on harmful prompts :math:`+\,KL(\pi_T\|\pi_w)` on the task.

    Its third term, :math:`\lambda\lVert w\rVert^2` over a binary w with one 1, is the same for
    every row. Where π_0 cannot be had, the refusals' loss stands for the first KL: of answers that
    π_0 gave it is the same in the mean, up to π_0's entropy, which no row changes.

    Args:
        engine: The engine of the tuned model, the weights as tuning left them.
        refusals: Batches of harmful prompts with refusals; none of them is a candidate.
        task: Batches of the user's task; may be none.
        aligned: A context in which the model is the aligned one; None where it cannot be had.
    """

    def __init__(
        self,
        engine: Engine,
        refusals: Sequence[Batch],
        task: Sequence[Batch],
        aligned: AbstractContextManager[None] | None,
    ) -> None:
        self._engine, self._refusals = engine, refusals
        self._task = predicted(engine, task)
        with nullcontext() if aligned is None else aligned:
            self._aligned = None if aligned is None else predicted(engine, refusals)

    def score(self) -> Score:
        """Return how far the model is where it stands."""
        engine, aligned = self._engine, self._aligned
        loss = agreement(engine, self._refusals)[0] if aligned is None else drift(engine, aligned)
        return Score(loss, drift(engine, self._task))
