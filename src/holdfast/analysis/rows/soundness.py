"""Checks of what rows are held against, and of the scores themselves: each catches one mistake.

Scores of mixed-up materials look like scores. A model that refuses tells the mistakes apart: a
refusal is likelier to it than a harmful answer, and an answer likelier after its own request.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import torch

from holdfast.analysis.rows.components.losses import losses
from holdfast.analysis.rows.components.tiles import encoded, tiles_of
from holdfast.analysis.rows.ordering import spearman
from holdfast.defense import Examples, listed
from holdfast.errors import DataError
from holdfast.ops.engine import Engine

__all__ = ["STANDS_IN", "check_sides", "fit_their_requests", "stands_in", "unfit_answers"]

STANDS_IN = 0.95
"""Rank correlation from which a column is another one under a new name."""
_FITTING = 0.6
"""Least share of answers that must be likelier after their own request than after another."""


def check_sides(harmful_losses: Sequence[float], safe_losses: Sequence[float]) -> None:
    """Refuse anchors whose sides are swapped.

    Args:
        harmful_losses: The refusing model's losses of the harmful answers.
        safe_losses: Its losses of the refusals.

    Raises:
        DataError: The harmful answers are likelier to it than the refusals.
    """
    harmful, safe = mean(harmful_losses), mean(safe_losses)
    if harmful <= safe:
        raise DataError(
            f"`harmful` and `safe` look swapped: a model that refuses finds the harmful answers "
            f"likelier ({harmful:.2f} nats per token) than the refusals ({safe:.2f}); check which "
            "file is which"
        )


def fit_their_requests(engine: Engine, tokenizer: Any, rows: Examples) -> float:
    """Return the share of answers that are likelier after their own request than after the next.

    Args:
        engine: The engine of the model.
        tokenizer: Its tokenizer.
        rows: Requests with answers of their own; refusals, which fit any request, say nothing.
    """
    given = listed(rows)
    turned = [
        {**row, "completion": given[(n + 1) % len(given)]["completion"]}
        for n, row in enumerate(given)
    ]
    own, other = (_by_row(engine, tokenizer, part) for part in (given, turned))
    # An answer is held against itself: the same words after the request that they came with.
    return mean(float(own[(n + 1) % len(own)] < other[n]) for n in range(len(own)))


def unfit_answers(share: float) -> str:
    """Return what to say of answers that do not fit their requests, "" where they do."""
    if share >= _FITTING:
        return ""
    return (
        f"only {share:.0%} of the `harmful` answers are likelier after their own request than "
        "after another one: are they shuffled? anchor means little with them"
    )


def stands_in(values: Sequence[float], others: Mapping[str, Sequence[float]]) -> str:
    """Return the confounder that a column is under another name, "" where it is none.

    Args:
        values: The column.
        others: Length, loss and the like, each with a value for the same rows or sets.
    """
    found = {name: spearman(values, own) for name, own in others.items()}
    near = {name: abs(rho) for name, rho in found.items() if rho is not None}
    name = max(near, key=lambda one: near[one], default="")
    return name if name and near[name] >= STANDS_IN else ""


def _by_row(engine: Engine, tokenizer: Any, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    tiles = tiles_of(encoded(list(map(dict, rows)), tokenizer))
    order = torch.tensor([n for tile in tiles for n in tile.rows])
    return torch.cat(losses(engine, tiles))[order.argsort()].tolist()
