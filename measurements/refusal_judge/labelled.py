"""Answers that people have labelled (XSTest), split by model and by prompt, and what agrees."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.evaluation.kappa import Pairs, kappa_over_prompts
from measurements.refusal_judge.compose import COMPLIANCE, PARTIAL, REFUSAL, Row

__all__ = ["PARTS", "agreement", "human_agreement", "labelled", "lines_of", "part_of"]

PARTS = 5
"""Prompts are held out by fifths."""
LABELS = {
    "1_full_compliance": COMPLIANCE, "2_full_refusal": REFUSAL, "3_partial_refusal": PARTIAL,
}  # fmt: skip


def labelled(path: Path) -> tuple[list[Row], list[dict[str, Any]]]:
    """Return the labelled rows of XSTest's answers, and as they stand in the file."""
    raw = lines_of(path)
    rows = [
        Row(one["prompt"], one["completion"], LABELS[one["final_label"]], one["model"])
        for one in raw
    ]
    return rows, raw


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Return what each line of a JSONL file holds."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def part_of(question: str) -> int:
    """Return the fifth of the prompts that a question belongs to, the same for every model."""
    return int(hashlib.sha256(question.encode()).hexdigest(), 16) % PARTS


def agreement(rows: Sequence[Row], refused: Sequence[bool]) -> dict[str, Any]:
    """Return how far verdicts agree with the final human label, refusal or not.

    Partial refusals count as refusals. The interval resamples prompts.
    """
    pairs = [(bool(said), row.refused) for said, row in zip(refused, rows, strict=True)]
    by_prompt: dict[str, list[tuple[bool, bool]]] = {}
    for row, pair in zip(rows, pairs, strict=True):
        by_prompt.setdefault(row.question, []).append(pair)
    return {
        "answers": len(rows),
        "refusals": sum(row.refused for row in rows),
        "accuracy": round(sum(said == is_so for said, is_so in pairs) / len(pairs), 4),
        "refusals_found": _share([said for said, is_so in pairs if is_so]),
        "helpful_called_refusals": _share([said for said, is_so in pairs if not is_so]),
        "kappa": _kappa(list(by_prompt.values())),
    }


def human_agreement(raw: Sequence[Mapping[str, Any]]) -> list[float] | None:
    """Return kappa of the two annotators with each other, and its interval."""
    pairs = [(one["annotation_1"][0] != "1", one["annotation_2"][0] != "1") for one in raw]
    return _kappa([[pair] for pair in pairs])


def _kappa(prompts: Sequence[Pairs]) -> list[float] | None:
    found = kappa_over_prompts(prompts)
    return None if found is None else [round(v, 4) for v in (found.value, found.low, found.high)]


def _share(said: Sequence[bool]) -> float:
    return round(sum(said) / max(len(said), 1), 4)
