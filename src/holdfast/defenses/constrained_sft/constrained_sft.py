"""Constrained SFT (Qi et al., arXiv 2406.05946, ICLR 2025), from its token-wise objective."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.defense import Capability, Card, Run, Stage, Step, in_range
from holdfast.defense.figures import Mean
from holdfast.defenses.constrained_sft.reference import looked_up, reference_of
from holdfast.defenses.keyed_rows import answer_lengths, answer_log_probs, check_rows, row_keys
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch
from holdfast.training.steering.steerable import Steerable


def answer_positions(labels: Tensor) -> Tensor:
    """Return t = 1, 2, … of every predicted answer token, row after row, shape [N].

    Every unbroken run of labels is one answer: in a conversation of several turns the count starts
    anew with each.

    Args:
        labels: Shape [B, T]; ``-100`` outside the answers.
    """
    answers = labels[:, 1:] != IGNORED
    count = answers.long().cumsum(dim=1)
    before = count.masked_fill(answers, 0).cummax(dim=1).values
    return (count - before)[answers]


def betas_at(positions: Tensor, first: float, early: float, late: float, last_early: int) -> Tensor:
    """Return β_t: ``first`` at t = 1, ``early`` up to ``last_early``, then ``late``; shape [N]."""
    beta = torch.full(positions.shape, late, dtype=torch.float32, device=positions.device)
    beta[positions <= last_early] = early
    beta[positions == 1] = first
    return beta


def token_weights(log_probs: Tensor, reference: Tensor, beta: Tensor) -> Tensor:
    r"""Return :math:`w_t = 2\,(1 - \sigma(\beta_t(\log\pi_\theta - \log\pi_{\text{ref}})))`.

    It is 1 where a token is as likely as it was, falls to 0 as it becomes likelier and rises to 2
    as it becomes less likely. No gradient flows through it: :math:`w_t\nabla(-\log\pi_\theta)` is
    the gradient of the paper's :math:`-\frac{2}{\beta_t}\log\sigma(\beta_t(\cdot))`.

    Args:
        log_probs: Of the model that is trained, nats, shape [N].
        reference: Of the initial model, shape [N].
        beta: β_t ≥ 0, shape [N].
    """
    return 2 * torch.sigmoid(-beta * (log_probs.detach() - reference))


def constraint_term(log_probs: Tensor, weights: Tensor) -> Tensor:
    r"""Return :math:`\frac1N\sum_t (w_t - 1)(-\log\pi_\theta)`: constrained minus plain loss."""
    return ((weights - 1) * -log_probs).sum() / max(1, len(log_probs))


@dataclass
class ConstrainedSFT(Steerable):
    """Holds the first answer tokens near the initial model and lets the later ones learn."""

    scale: float = 1.0
    """Multiple of all β_t, 0 or more; 0 is plain fine-tuning. Ours; the paper's is 1."""
    beta_first: float = 0.5
    """β of an answer's first token (paper: 0.5)."""
    beta_early: float = 2.0
    """β of the tokens after it, up to ``last_early`` (paper: 2)."""
    beta_late: float = 0.1
    """β of all later tokens (paper: 0.1)."""
    last_early: int = 5
    """Position of the last early token, counted from 1 (paper: 5)."""
    batch_size: int = 16
    """Rows per forward pass when the reference is computed, before step 0."""

    reference_: dict[str, Any] = field(default_factory=dict[str, Any], init=False)
    """Keys of the user's rows and the initial model's log-probabilities of their answers."""
    figures_: dict[str, float] = field(default_factory=dict[str, float], init=False)
    """The latest mean weight, and the share of answer tokens with a reference."""
    _rows: Any = field(default=None, init=False, repr=False)
    _found: dict[str, Tensor] | None = field(default=None, init=False, repr=False)

    steered: ClassVar[str] = "scale"
    bounds: ClassVar[tuple[float, float]] = (1e-3, 100.0)
    card: ClassVar[Card] = Card(
        name="constrained_sft",
        summary="First answer tokens learn less, the likelier they have already become.",
        stage=Stage.TUNE,
        paper="Constrained SFT, arXiv 2406.05946",
        strength="scale",
        cost="one forward pass over the rows before; per step none, with SFTTrainer 2",
        needs=frozenset({Capability.LOGITS, Capability.NLL, Capability.ROWS}),
    )

    def validate(self) -> None:
        """Check ranges."""
        for name in ("scale", "beta_first", "beta_early", "beta_late"):
            in_range(self, name, 0.0)
        for name in ("last_early", "batch_size"):
            in_range(self, name, 1)

    def idle(self) -> frozenset[str]:
        """Every weight is 1 at scale 0: there is nothing to compute."""
        return frozenset() if self.scale > 0 else frozenset({"data", "before", "loss"})

    def data(self, run: Run, rows: Any) -> Any:
        """Keep the rows at hand for ``before``; they stay as they are."""
        del run
        check_rows(rows, self.card.name)
        self._rows, self._found = rows, None
        return rows

    def before(self, run: Run) -> None:
        """Compute the initial model's log-probabilities, an adapter's first weights included."""
        run.say(f"constrained_sft: reference log-probabilities of {len(self._rows)} rows")
        self.reference_ = reference_of(run, self._rows, int(self.batch_size))
        self._rows = None

    def load(self, state: Mapping[str, Any]) -> None:
        """Put the table of the first run back; the model at hand is no longer the initial one."""
        super().load(state)
        self._rows = self._found = None

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor:
        r"""Return constrained minus plain loss, so that the user's loss becomes constrained."""
        del step
        labels = batch["labels"]
        ours = answer_log_probs(outputs.logits, labels)
        reference = self._reference(batch, ours.detach())
        beta = self.strength_now * betas_at(
            answer_positions(labels).to(ours.device),
            self.beta_first, self.beta_early, self.beta_late, int(self.last_early),
        )  # fmt: skip
        weights = token_weights(ours, reference, beta)
        if len(weights):
            self.figures_["weight"] = Mean(float(weights.mean()), len(weights))
        return constraint_term(ours, weights)

    def _reference(self, batch: Batch, ours: Tensor) -> Tensor:
        """Return the rows' reference [N]; ``ours``, so a weight of 1, where a row has none."""
        if self._found is None:
            self._found = looked_up(self.reference_)
        own = ours.split(answer_lengths(batch["labels"]))
        keys = row_keys(batch)
        known = [key in self._found for key in keys]
        if len(ours):
            covered = sum(len(part) for part, there in zip(own, known, strict=True) if there)
            self.figures_["covered"] = Mean(covered / len(ours), len(ours))
        return torch.cat(
            [
                self._found[k].to(part) if k in self._found else part
                for k, part in zip(keys, own, strict=True)
            ]
        )

    def metrics(self) -> dict[str, float]:
        """Return the latest mean weight and the share of answer tokens with a reference."""
        return dict(self.figures_)
