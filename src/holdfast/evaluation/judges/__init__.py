"""Judges: who says what an answer is.

A judge is a callable that maps questions and answers to verdicts. The organism's oracle
(``holdfast.organism.oracle``) is exact; the judges here work on any model and are not.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from holdfast.evaluation.judges.matching import matches
from holdfast.evaluation.judges.refusal_phrases import RefusalPhrases
from holdfast.evaluation.metrics import Item, Outcome, Verdict

__all__ = [
    "Judge",
    "Outcome",
    "RefusalPhrases",
    "Verdict",
    "matches",
]


@runtime_checkable
class Judge(Protocol):
    """Maps ``(question, answer)`` pairs to verdicts, one each, in order."""

    def __call__(self, items: Sequence[Item], answers: Sequence[str]) -> list[Verdict]:
        """Return one verdict for each item and its answer."""
        ...
