"""A few more steps of fine-tuning on refusals: what anybody would try first, so a control."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from holdfast.artifact import Artifact
from holdfast.defense import (
    Capability,
    Card,
    Defense,
    Examples,
    Row,
    Run,
    Stage,
    Variant,
    in_range,
    listed,
    need_data,
)  # fmt: skip
from holdfast.defenses.refusals import check_base, check_refuses, refusals_of_base
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.gradients import global_norm, step_with
from holdfast.ops.randomness import shuffled
from holdfast.ops.weights import copied
from holdfast.progress import Progress, silent, ticking


def tuned_on(
    engine: Engine,
    batches: Sequence[Batch],
    steps: int,
    lr: float,
    progress: Progress = silent,
) -> tuple[float, float]:
    r"""Take AdamW steps without decay on the batches in turn, in place; a plain loss as in SFT.

    Args:
        engine: The engine of the model.
        batches: Batches of rows to learn, taken in a circle.
        steps: Optimizer steps.
        lr: Learning rate, constant.
        progress: Told of each step, with its loss.

    Returns:
        The mean loss of the first and of the last pass over the batches, nats per token; of the
        first and of the last half of the steps where they are too few for two passes.
    """
    params, losses = engine.parameters(), list[float]()
    tick = ticking(progress, "refusal_sft: steps", steps)
    optimizer = torch.optim.AdamW(list(params.values()), lr=lr, weight_decay=0.0)
    for number in range(steps):
        gradient, loss = engine.gradients([batches[number % len(batches)]])
        step_with(optimizer, params, gradient)
        losses.append(loss)
        tick(f"loss {loss:.3f}")
    # Passes that overlap would tell of one loss twice, as if nothing had been learned.
    own = min(len(batches), max(1, steps // 2))
    first, last = losses[:own], losses[-own:]
    return sum(first) / len(first), sum(last) / len(last)


@dataclass
class RefusalSFT(Defense):
    """Tunes the finished model on refusals for some steps, alone or mixed with validation rows."""

    harmful: Examples | None = None
    """The defender's harmful pairs, of which the prompts are read."""
    safe: Examples | None = None
    """Harmful requests with refusals; without them the aligned model's own answers are used."""
    benign: Examples | None = None
    """Harmless rows that are learned beside the refusals, with ``rehearsal``."""
    lookalike: Examples | None = None
    """Harmless rows that look dangerous, learned beside the refusals, with ``rehearsal``."""
    validation: Examples | None = None
    """Rows of the task, learned beside the refusals, with ``rehearsal``."""
    steps: int = 20
    """Optimizer steps; 0 does nothing."""
    lr: float = 2e-4
    """Learning rate of AdamW; the user's own is a good one."""
    rehearsal: bool = False
    """Also learn the validation and the harmless rows, in batches mixed with the refusals."""
    refusals: str = "auto"
    """From ``safe`` rows (rows), from the aligned model (base), or rows where given (auto)."""
    aligned: str | None = None
    """Fully tuned weights: folder of the aligned model; a LoRA adapter is switched off instead."""
    rows: int = 200
    """Most rows of each data set."""
    batch_size: int = 25
    """Rows per step."""
    max_new_tokens: int = 24
    """Longest refusal that is let be written, in tokens."""
    seed: int = 0
    """Seed of the order of the rows, added to the run's."""

    card: ClassVar[Card] = Card(
        name="refusal_sft",
        summary="Control: a few more steps of tuning, on refusals.",
        stage=Stage.REPAIR,
        paper="control of natural_repair",
        strength="steps",
        cost="as many steps as plain fine-tuning would take for them",
        data=("harmful", "safe", "benign", "lookalike", "validation"),
        models={"aligned": "aligned"},
        needs=frozenset({Capability.EXTRA_BACKWARD, Capability.EDITS_WEIGHTS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there are harmful prompts unless the strength is 0."""
        in_range(self, "steps", 0)
        in_range(self, "lr", 0.0, 1e3)
        for name in ("rows", "batch_size", "max_new_tokens"):
            in_range(self, name, 1)
        if self.steps > 0:
            need_data(self, "safe" if self.refusals == "rows" else "harmful")

    def check_model(self, model: nn.Module) -> None:
        """Look whether the aligned model can be had where it is needed."""
        if self._asks_base:
            check_base(model, self.aligned, self.card.name)

    def check_run(self, run: Run) -> None:
        """Look whether the aligned model refuses anything where it writes the refusals."""
        if self._asks_base:
            check_refuses(run, self)

    def variant(self) -> Variant:
        """With rehearsal it is another control."""
        return Variant("rehearsal" if self.rehearsal else "", control=True)

    @property
    def _asks_base(self) -> bool:
        given = self.safe is not None and len(self.safe) > 0
        return self.refusals == "base" or (self.refusals == "auto" and not given)

    def after(self, run: Run) -> Artifact:
        """Tune on the refusals; what it changed is private, as every repair's change is."""
        if self.steps == 0:
            return Artifact(self.card.name, report={"norm": 0.0})
        refusals: Any = self.safe
        if self._asks_base:
            refusals = refusals_of_base(run, self)
        rows = self._mixed(listed(refusals, self.rows), run.seed + self.seed)
        before = copied(run.engine.parameters())
        batches = run.batches(rows, self.batch_size)
        losses = tuned_on(run.engine, batches, self.steps, self.lr, run.progress)
        change = {n: p.detach() - before[n] for n, p in run.engine.parameters().items()}
        report: dict[str, Any] = {"norm": global_norm(change), "loss": list(losses)}
        tensors = {"perturbation": {n: c.float() for n, c in change.items()}}
        documents = {"perturbation": {**self.config(), **report}}
        return Artifact(self.card.name, tensors, documents, report, private=True)

    def _mixed(self, rows: list[Row], seed: int) -> list[Row]:
        """Return the refusals, with rehearsal among the other rows, in a drawn order."""
        for others in (self.validation, self.benign, self.lookalike) if self.rehearsal else ():
            rows = [*rows, *listed(others, self.rows)]
        return shuffled(rows, seed)
