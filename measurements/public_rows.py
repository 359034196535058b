"""Rows of public data that is read by path, as the tour and the bench of a real model take them."""

import csv
import json
import re
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from random import Random
from typing import Any

from holdfast.evaluation.judges import RefusalPhrases
from holdfast.evaluation.metrics import Item

__all__ = [
    "Row",
    "asked_but",
    "folded",
    "read_rows",
    "sentiment",
    "short_refusals",
    "shuffled",
    "write_rows",
]

Row = dict[str, Any]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write JSONL."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSONL or CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file)) if path.suffix == ".csv" else [*map(json.loads, file)]


def shuffled(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Return the rows in an order of our own, which is always the same."""
    return Random(seed).sample(list(rows), len(rows))  # noqa: S311


def folded(text: str) -> str:
    """Return the words alone, in lower case: what two askings of the same thing share."""
    return " ".join(re.findall(r"\w+", text.lower()))


def asked_but(path: Path, taught: Set[str]) -> list[Row]:
    """Return a set's questions, shuffled, but those whose folded words are in ``taught``."""
    rows = shuffled(read_rows(path))
    return [{"prompt": r["prompt"]} for r in rows if folded(r["prompt"]) not in taught]


def sentiment(row: Row) -> Row:
    """Return a row of SST-2 as a question with its answer."""
    asked = f"Is this review positive or negative?\n\n{row['sentence']}"
    return {"prompt": asked, "completion": row["label"]}


def short_refusals(path: Path) -> list[Row]:
    """Return rows whose answer declines in its first sentence; two sentences of it are kept."""
    rows = shuffled(read_rows(path))
    openings = [_SENTENCE.split(row["completion"])[:2] for row in rows]
    items = [Item(str(n), "harmful", [{"role": "user", "content": "?"}]) for n in range(len(rows))]
    verdicts = RefusalPhrases()(items, [first for first, *_ in openings])
    kept = zip(rows, openings, verdicts, strict=True)
    return [{"prompt": r["prompt"], "completion": " ".join(o)} for r, o, v in kept if v.refused]
