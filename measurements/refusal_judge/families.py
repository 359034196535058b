"""Whole answers written by hand, by family of questions, in two halves that check each other."""

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from measurements.refusal_judge.compose import COMPLIANCE, PARTIAL, PARTS, REFUSAL, Row

__all__ = ["HALVES", "ended_rows", "family_rows", "trial_rows"]

FAMILIES, TRIAL = (Path(__file__).with_name(name) for name in ("answers", "trial"))
HALVES = ("family, first half", "family, second half")
"""The sources of the rows: families fall to one or the other in turn, whole."""


def family_rows(files: Collection[str] = ()) -> list[Row]:
    """Return the answers as they were written, of all files or of some, by their stems."""
    return [row for stem, row in _written(FAMILIES) if not files or stem in files]


def trial_rows() -> list[Row]:
    """Return answers in the wording of well-known models, which nothing is trained on.

    A language model wrote and labelled them, in a context of its own, after all features and
    settings of what ships were chosen.
    """
    return [row for _, row in _written(TRIAL)]


def ended_rows(rows: Sequence[Row], seed: int = 0) -> list[Row]:
    """Return the answers that help once more, with a moral at the end: they help all the same."""
    draw = random.Random(seed)  # noqa: S311  # Nothing secret is drawn.
    endings = yaml.safe_load(PARTS.read_text(encoding="utf-8"))["moral_endings"]
    return [
        replace(row, answer=f"{row.answer} {draw.choice(endings)}")
        for row in rows
        if row.label == COMPLIANCE
    ]


def _written(folder: Path) -> Iterator[tuple[str, Row]]:
    families: list[tuple[str, list[dict[str, Any]]]] = [
        (path.stem, questions)
        for path in sorted(folder.glob("*.yaml"))
        for questions in yaml.safe_load(path.read_text(encoding="utf-8")).values()
    ]
    for place, (stem, questions) in enumerate(families):
        for one in questions:
            for label in (REFUSAL, PARTIAL, COMPLIANCE):
                for answer in one.get(label, []):
                    yield stem, Row(one["ask"], answer, label, HALVES[place % 2])
