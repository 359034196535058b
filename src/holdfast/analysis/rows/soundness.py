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
from holdfast.defense import Examples, Row, listed
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


def fit_their_requests(engine: Engine, tokenizer: Any, rows: Examples) -> float | None:
    """Return the share of answers that are likelier after their own request than after another.

    The other is that of the row before, or of the last one before it that asks something else: an
    answer is held against itself, the same words after two requests. None where all ask the same.

    Args:
        engine: The engine of the model.
        tokenizer: Its tokenizer.
        rows: Requests with answers of their own; refusals, which fit any request, say nothing.
    """
    given = listed(rows)
    pairs = [(row, other) for n, row in enumerate(given) if (other := _other_request(given, n))]
    if not pairs:
        return None
    turned = [{**other, "completion": row["completion"]} for row, other in pairs]
    own, after = (_by_row(engine, tokenizer, part) for part in ([row for row, _ in pairs], turned))
    return mean(float(here < there) for here, there in zip(own, after, strict=True))


def _other_request(given: Sequence[Row], n: int) -> Row | None:
    asked = given[n]["prompt"]
    before = (given[n - back] for back in range(1, len(given)))
    return next((row for row in before if row["prompt"] != asked), None)


def unfit_answers(share: float | None) -> str:
    """Return what to say of answers that do not fit their requests, "" where they do.

    Args:
        share: As ``fit_their_requests`` returns it; None says nothing.
    """
    if share is None or share >= _FITTING:
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
