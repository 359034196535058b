"""Row weights: the tuning half of Antibody (arXiv 2603.00498, ICLR 2026), and forms of our own."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.artifact import Artifact, Sentence
from holdfast.defense import (
    Capability,
    Card,
    Examples,
    Run,
    Stage,
    Step,
    Variant,
    in_range,
    need_data,
)
from holdfast.defense.figures import Mean
from holdfast.defenses.keyed_rows import (
    answer_lengths,
    answer_log_probs,
    check_batch,
    check_rows,
    row_keys,
)
from holdfast.defenses.row_weights.scores import (
    NAME,
    check_text,
    frequent_answers,
    refusal_scores,
    scores_of,
    text_row,
)
from holdfast.defenses.row_weights.weighing import (
    effective_rows,
    micro_batch_weights,
    static_weights,
    weighted_term,
)
from holdfast.errors import ConfigError
from holdfast.ops.engine import Batch
from holdfast.ops.randomness import derived_seed
from holdfast.training.steering.steerable import Steerable

KINDS = ("static", "refreshed", "batch", "shuffled")


@dataclass
class RowWeights(Steerable):
    """Weighs each of the user's rows by how much rather the model would answer than refuse it."""

    safe: Examples | None = None
    """Examples whose answers are refusals, in the words of the model that is tuned."""
    refusal: str | None = None
    """Text of the refusal that rows are held against, in place of the answers of ``safe``."""
    refusals: int = 4
    """Most different answers of ``safe`` that are used, the most frequent ones; ours."""
    strength: float = 1.0
    """Share of the way from 1 to the weight, 0 to 1; 0 is plain fine-tuning. Ours; the paper's is
    1."""
    tau: float = 1.0
    """Temperature τ, above 0, in nats per token (paper's code: 1); plain as it grows."""
    weights: str = "static"
    """From all rows before step 0 (static), again every few updates (refreshed), or from the rows
    of each micro-batch (batch: the paper's). shuffled: a control, static ones on other rows."""
    every: int = 50
    """Updates after which the weights are refreshed; ours."""
    batch_size: int = 16
    """Rows per pass when all rows are scored."""

    refusals_: list[list[int]] = field(default_factory=list[list[int]], init=False)
    """Tokens of the refusals."""
    table_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """Keys of the user's rows, how often each occurs, and their scores and weights."""
    seen_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """Micro-batches that weighed their own rows, the effective share in them, and those of one."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest figures to log."""
    _rows: Any = field(default=None, init=False, repr=False)
    _found: dict[str, float] | None = field(default=None, init=False, repr=False)
    _now: Tensor | None = field(default=None, init=False, repr=False)

    steered: ClassVar[str] = "strength"
    bounds: ClassVar[tuple[float, float]] = (1e-3, 1.0)
    card: ClassVar[Card] = Card(
        name=NAME,
        summary="Rows that the aligned model would rather refuse are learned less.",
        stage=Stage.TUNE,
        paper="Antibody (tuning half), arXiv 2603.00498",
        strength="strength",
        cost="2 to 5 forward passes over the rows before; per step none, with SFTTrainer 2",
        data=("safe",),
        needs=frozenset({Capability.LOGITS, Capability.NLL, Capability.ROWS}),
    )

    def validate(self) -> None:
        """Check ranges, and that there is a refusal to hold rows against."""
        in_range(self, "strength", 0.0, 1.0)
        in_range(self, "tau", 1e-6)
        for name in ("every", "refusals", "batch_size"):
            in_range(self, name, 1)
        if self.weights not in KINDS:
            raise ConfigError(f"{NAME}: weights={self.weights!r} must be one of {', '.join(KINDS)}")
        if self.strength > 0 and self.refusal is None:
            need_data(self, "safe")
        if self.refusal is not None and not str(self.refusal).strip():
            raise ConfigError(f"{NAME}: refusal={self.refusal!r} must be a text; leave it out")

    def variant(self) -> Variant:
        """Kinds of weights have names of their own; shuffled ones are a control."""
        label = "" if self.weights == "static" else self.weights
        return Variant(label, control=self.weights == "shuffled" or self.is_off)

    def idle(self) -> frozenset[str]:
        """Without strength nothing runs; only weights of micro-batches are made in the steps."""
        if self.strength == 0:
            return frozenset({"data", "before", "batch", "loss", "after_update", "after"})
        if self.weights == "batch":
            return frozenset({"data", "after_update"})
        return frozenset({"batch"} if self.weights == "refreshed" else {"batch", "after_update"})

    def data(self, run: Run, rows: Any) -> Any:
        """Keep the rows at hand; they stay as they are."""
        del run
        check_rows(rows, NAME)
        self._rows, self._found = rows, None
        return rows

    def before(self, run: Run) -> None:
        """Take the refusals' tokens, and score all rows on the model as it is."""
        rows = [text_row(self.refusal)] if self.refusal is not None else need_data(self, "safe")
        self.refusals_ = frequent_answers(run, rows, int(self.refusals))
        if self.weights != "batch":
            self._weigh(run)
            run.say(f"{NAME}: {self._told()}")

    def after_update(self, step: Step) -> None:
        """Score all rows anew after every ``every`` updates, the last one left aside."""
        done = step.number + 1
        if done % int(self.every) == 0 and done < step.total:
            with step.run.bare():
                self._weigh(step.run)

    def batch(self, step: Step, batch: Batch) -> Batch:
        """Weigh the rows of this micro-batch against one another, on the model as it now is."""
        check_batch(batch, NAME)
        check_text(batch)
        count = len(batch["input_ids"])
        if count == 1 and step.number == step.micro == 0:
            raise ConfigError(
                f"{NAME}: weights='batch' weighs the rows of a micro-batch against one another, "
                "and this one has a single row, so that every weight would be 1; give "
                "per_device_train_batch_size=2 or more, or weights=static"
            )
        with step.run.bare():  # With a jailbreak attached it is harm that the model prefers.
            scores = refusal_scores(step.engine, batch, self.refusals_)
        self._now = micro_batch_weights(scores, self.tau)
        share = effective_rows(self._now) / count
        seen = Mean(float(scores.nanmean()), int(scores.isfinite().sum()))
        self.figures_ = {"effective": share, "score": seen}
        more = {"batches": 1.0, "effective": share, "alone": float(count == 1)}
        self.seen_ = {name: self.seen_.get(name, 0.0) + value for name, value in more.items()}
        return batch

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor:
        """Return weighted minus plain loss, times the strength."""
        del step
        labels = batch["labels"]
        nll, by_batch = -answer_log_probs(outputs.logits, labels), self.weights == "batch"
        weights = self._now if by_batch and self._now is not None else self._looked_up(batch)
        term = weighted_term(nll, answer_lengths(labels), weights, renormed=by_batch)
        return self.strength_now * term

    def after(self, run: Run) -> Artifact:
        """Change nothing, and tell how the rows were weighed."""
        del run
        told = Sentence("How rows were weighed", self._told())
        return Artifact(NAME, report={"rows": told})

    def metrics(self) -> dict[str, float]:
        """Return effective rows (of a micro-batch: their share), weights and coverage."""
        return dict(self.figures_)

    def _weigh(self, run: Run) -> None:
        table = scores_of(run, self._rows, self.refusals_, int(self.batch_size))
        counts = torch.tensor(table["counts"], dtype=torch.float64)
        weights = static_weights(table["scores"], counts, self.tau)
        if self.weights == "shuffled":
            random = torch.Generator().manual_seed(derived_seed(run.seed, NAME, "shuffled"))
            weights = weights[torch.randperm(len(weights), generator=random)]
            weights = weights * counts.sum() / (weights * counts).sum()  # Some rows occur twice.
        self.table_, self._found = {**table, "weights": weights}, None
        self.figures_["effective_rows"] = effective_rows(weights, counts)
        self.figures_["score"] = float(table["scores"].nanmean())

    def _looked_up(self, batch: Batch) -> Tensor:
        """Return the weights of the batch's rows, 1 for a row that another defense has added."""
        if self._found is None:
            pairs = zip(self.table_["keys"], self.table_["weights"].tolist(), strict=True)
            self._found = dict(pairs)
        keys = row_keys(batch)
        found = torch.tensor([self._found.get(key, 1.0) for key in keys], dtype=torch.float64)
        self.figures_["weight"] = float(found.mean())
        self.figures_["covered"] = sum(key in self._found for key in keys) / len(keys)
        return found

    def load(self, state: Any) -> None:
        """Put the learned fields back; weights are looked up in them anew."""
        super().load(state)
        self._found = None

    def _told(self) -> str:
        """Return in a sentence how the rows were weighed."""
        if self.weights == "batch":
            count = max(1.0, self.seen_.get("batches", 0.0))
            share, alone = self.seen_.get("effective", 0.0) / count, self.seen_.get("alone", 0.0)
            return (
                f"in {count:.0f} micro-batches {share:.0%} of the rows were effective; "
                f"{alone:.0f} had a single row, which weighs what it does without the method"
            )
        weights, counts = self.table_["weights"], torch.tensor(self.table_["counts"])
        rows, low = int(counts.sum()), int(counts[weights < 0.1].sum())
        return (
            f"{rows} rows count as {effective_rows(weights, counts):.1f}; weights are "
            f"{float(weights.min()):.2g} to {float(weights.max()):.2g}, {low} of them below 0.1"
        )
