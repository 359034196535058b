"""Refusals mixed into the user's data (arXiv 2309.07875; VLGuard, 2402.02207)."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from datasets import Dataset, concatenate_datasets
from torch import Tensor
from torch.utils.data import ConcatDataset

from holdfast.defense import (
    Backward,
    Capability,
    Card,
    Examples,
    Run,
    Stage,
    Step,
    in_range,
    need_data,
)  # fmt: skip
from holdfast.errors import ConfigError
from holdfast.ops.randomness import derived_seed
from holdfast.training.steering.steerable import Steerable

EXTRA_ROWS = 8
"""Safe rows of the extra pass where the share is steered above what was mixed in; ours."""


def rows_to_add(user: int, share: float, available: int, seed: int) -> list[int]:
    """Return the indices of the safe rows to add: ``round(share * user)`` of ``available``.

    Every safe row is drawn once before any is drawn again, in an order that ``seed`` decides.
    """
    wanted = round(share * user)
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))] if wanted else []
    return [int(i) for order in rounds for i in order][:wanted]


@dataclass
class SafeMixing(Steerable):
    """Adds refusals of harmful requests to the user's rows; training is otherwise plain."""

    safe: Examples | None = None
    """Examples that pair a harmful request with a refusal."""
    share: float = 0.1
    """Safe rows added per user row, 0 to 1. Ours; the papers mix in 3 % to 20 %."""

    steered: ClassVar[str] = "share"
    bounds: ClassVar[tuple[float, float]] = (1e-3, 1.0)
    card: ClassVar[Card] = Card(
        name="safe_mixing",
        summary="Baseline: refusals mixed into the user's data.",
        stage=Stage.TUNE,
        paper="baseline, arXiv 2309.07875",
        strength="share",
        cost="1 + share, in steps at equal epochs; none at equal steps",
        data=("safe",),
        needs=frozenset({Capability.EDITS_DATA, Capability.ROWS}),
    )

    def validate(self) -> None:
        """Check the share, and that there is something to mix in."""
        in_range(self, "share", 0.0, 1.0)
        if self.share > 0:
            need_data(self, "safe")

    @property
    def steerable(self) -> tuple[float, float] | None:
        """Rows that were mixed in stay, so that the share can only be raised."""
        return (self.share, self.bounds[1]) if self.share > 0 else None

    def needs(self) -> frozenset[Capability]:
        """Return what mixing needs, and an extra pass where the share is steered."""
        more = {Capability.EXTRA_BACKWARD} if self.steered_ else set[Capability]()
        return self.card.needs | more

    def idle(self) -> frozenset[str]:
        """Without a steered share all safe rows lie among the user's."""
        return frozenset() if self.steered_ else frozenset({"gradient"})

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        r"""Add :math:`\frac{s - s_0}{1 + s_0}\nabla\ell_{\text{safe}}` for a share s above s₀.

        That is the weight that rows drawn beforehand would have among the user's and the s₀ that
        lie there; one small batch of them in turn stands for all. Ours.
        """
        loss = backward()
        more = self.strength_now - self.share
        if more > 0 and step.last:
            batches = step.run.batches(need_data(self, "safe"), EXTRA_ROWS)
            found, _ = step.engine.gradients([batches[step.number % len(batches)]])
            step.engine.add_gradient(found, more / (1 + self.share))
        return loss

    def data(self, run: Run, rows: Any) -> Any:
        """Append the safe rows; the trainer's own sampler shuffles them among the user's."""
        if self.share == 0 or self.safe is None:
            return rows
        _check_mixable(rows)
        seed = derived_seed(run.seed, self.card.name)
        chosen = rows_to_add(len(rows), self.share, len(self.safe), seed)
        if not chosen:
            return rows
        safe: Any = run.prepare([dict(self.safe[i]) for i in chosen])
        if isinstance(rows, Dataset) and isinstance(safe, Dataset):
            columns = [c for c in rows.column_names if c in safe.column_names]
            return concatenate_datasets([
                rows.select_columns(columns), safe.select_columns(columns).cast(
                    rows.select_columns(columns).features)
            ])  # fmt: skip
        return ConcatDataset[Any](cast("list[Any]", [rows, safe]))


def _check_mixable(rows: Any) -> None:
    """Refuse a stream, which has no length to take a share of, and rows packed into one another."""
    if not hasattr(rows, "__len__"):
        raise ConfigError(
            "safe_mixing takes a share of the training rows, and a streamed set has no length; "
            "mix the refusals into the data, or load it without streaming"
        )
    if isinstance(rows, Dataset) and "seq_lengths" in rows.column_names:
        raise ConfigError(
            "safe_mixing adds rows, and packed training data have none of their own any more; "
            "set packing=False, or mix the refusals into the data"
        )
