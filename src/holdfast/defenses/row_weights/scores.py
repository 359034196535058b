"""How much rather a model would refuse each of the user's rows than answer it as the row does."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from holdfast.data.chat import collate
from holdfast.defense import Examples, Run
from holdfast.defenses.keyed_rows import (
    answer_lengths,
    answer_log_probs,
    attended,
    keyed_batches,
)
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch, Engine

__all__ = ["NAME", "check_text", "frequent_answers", "refusal_scores", "scores_of", "text_row"]

NAME = "row_weights"
_PASS = 64
"""Rows of the defender that are encoded at a time."""

Ids = list[int]


def text_row(text: str) -> dict[str, Any]:
    """Return an Example that answers with ``text``; what it asks is not looked at."""
    return {
        "prompt": [{"role": "user", "content": text}],
        "completion": [{"role": "assistant", "content": text}],
    }


def frequent_answers(run: Run, rows: Examples, most: int) -> list[Ids]:
    """Return the tokens of the answers that occur most often, of equal ones the first first.

    Args:
        run: The run, whose template says how an answer ends.
        rows: Examples whose answers are refusals.
        most: How many different ones, at most.

    Raises:
        ConfigError: No row has an answer token left.
    """
    found: Counter[tuple[int, ...]] = Counter()
    for batch in run.batches(rows, _PASS):
        for labels in batch["labels"]:
            found[tuple(labels[labels != IGNORED].tolist())] += 1
    found.pop((), None)
    if not found:
        raise ConfigError(
            f"{NAME} holds the user's rows against a refusal, and none of {len(rows)} rows of "
            "refusals has an answer token left; raise max_length, or give shorter ones"
        )
    return [list(answer) for answer, _ in found.most_common(most)]


def refusal_scores(engine: Engine, batch: Batch, refusals: Sequence[Ids]) -> Tensor:
    r"""Return :math:`r_i = \text{NLL}(y_\text{refuse}|x_i) - \text{NLL}(y_i|x_i)`, shape [B].

    Both are means over the tokens of an answer, in nats; of several refusals theirs is the mean. A
    row's x is all before its first answer token. Passes are without dropout and without a graph. A
    row without an answer has no score: NaN.

    Args:
        engine: The engine of the model that scores.
        batch: ``input_ids`` and ``labels`` [B, T], padded on either side.
        refusals: Tokens of one refusal or more, each with what ends an answer.
    """
    mask = attended(batch).cpu()
    ids = [row[m].tolist() for row, m in zip(batch["input_ids"].cpu(), mask, strict=True)]
    labels = [row[m].tolist() for row, m in zip(batch["labels"].cpu(), mask, strict=True)]
    prompts = [_prompt(i, y) for i, y in zip(ids, labels, strict=True)]
    own = _answer_nll(engine, [_row(i, y) for i, y in zip(ids, labels, strict=True)])
    refused = [
        _answer_nll(engine, [_row(x + y, [IGNORED] * len(x) + y) for x in prompts])
        for y in refusals
    ]
    return torch.stack(refused).mean(0) - own


def scores_of(run: Run, rows: Any, refusals: Sequence[Ids], size: int) -> dict[str, Any]:
    """Return the scores of all the user's rows: keys, how often each occurs, and scores.

    Args:
        run: The run, with the model that scores.
        rows: The user's prepared rows.
        refusals: Tokens of refusals.
        size: Rows per pass.

    Raises:
        ConfigError: Rows cannot be found again, or hold more than text.
    """
    scores: dict[str, float] = {}
    counts: Counter[str] = Counter()
    for own in keyed_batches(run, rows, size, NAME, "scores of rows"):
        check_text(own.batch)
        found = refusal_scores(run.engine, own.batch, refusals).tolist()
        counts.update(own.keys)
        scores |= dict(zip(own.keys, found, strict=True))
    return {
        "keys": list(scores),
        "counts": [counts[key] for key in scores],
        "scores": torch.tensor(list(scores.values()), dtype=torch.float64),
    }


def _prompt(ids: Ids, labels: Ids) -> Ids:
    """Return what stands before the first answer token."""
    asked = [n for n, label in enumerate(labels) if label != IGNORED]
    return ids[: asked[0]] if asked else ids


def _row(ids: Ids, labels: Ids) -> dict[str, Ids]:
    return {"input_ids": ids, "labels": labels}


@torch.no_grad()
def _answer_nll(engine: Engine, rows: Sequence[Mapping[str, Ids]]) -> Tensor:
    """Return the mean over each row's answer tokens, float64 [rows]; NaN where there are none."""
    batch = collate(rows, 0)
    logits = engine.forward({k: v for k, v in batch.items() if k != "labels"}).logits
    parts = answer_log_probs(logits, batch["labels"]).cpu().split(answer_lengths(batch["labels"]))
    return torch.stack([-part.double().mean() for part in parts])


def check_text(batch: Batch) -> None:
    """Refuse rows with images or sounds: beside a refusal they would be lost."""
    more = [n for n, t in batch.items() if torch.is_tensor(t) and t.is_floating_point()]
    if more:
        raise ConfigError(
            f"{NAME} asks the model for a refusal of each row's text, and these rows also hold "
            f"`{more[0]}`; tune on text, or weigh rows by another method"
        )
