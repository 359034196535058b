"""Which files ask a bench's questions: those of the test, or those that settings are chosen by.

A recipe of one split never opens the files of the other, so that nothing is chosen on the test.
"""

from collections.abc import Iterable, Mapping
from functools import cache

from holdfast.evaluation import Item
from holdfast.evaluation.metrics import Kind
from holdfast.inputs.rows import questions_in

__all__ = ["ANSWERS", "QUESTIONS", "REQUIRED", "SPLITS", "asked", "of_split", "unasked"]

KINDS: dict[str, Kind] = {
    "harmful": "harmful", "safe": "safe", "task": "task", "useful": "useful", "answers": "useful",
}  # fmt: skip
"""What a file of questions is called behind its split, and which figure its answers count for."""
SPLITS = {"test": "test_", "validation": "val_"}
"""The splits of files, and what the names of their roles begin with."""
QUESTIONS: dict[str, Kind] = {f"{s}{name}": k for s in SPLITS.values() for name, k in KINDS.items()}
ANSWERS = tuple(f"{start}answers" for start in SPLITS.values())
"""Harmless questions with a reference model's own answers: usefulness is how far they are kept."""
REQUIRED = ("harmful", "safe", "task")
"""HS stands beside over-refusal and task accuracy, or says nothing."""


def of_split(split: str) -> dict[str, Kind]:
    """Return the roles whose questions a split asks, each with its kind."""
    return {f"{SPLITS[split]}{name}": kind for name, kind in KINDS.items()}


def unasked(files: Iterable[str], split: str) -> set[str]:
    """Return the roles of other splits among ``files``: they are not read."""
    return {role for role in files if role in QUESTIONS and role not in of_split(split)}


def asked(files: Mapping[str, str], split: str, per_kind: int) -> list[Item]:
    """Return the first ``per_kind`` questions of each file of the split, in the order of roles."""
    found: list[Item] = []
    for role, kind in of_split(split).items():
        if role in files:
            found += _read(kind, files[role])[:per_kind]
    return found


@cache
def _read(kind: Kind, path: str) -> list[Item]:
    """Load a file's questions once for each process."""
    return questions_in(kind, path, None, None)
