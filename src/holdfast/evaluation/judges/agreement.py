"""How far two judges agree beyond chance (Cohen 1960). Judges are compared, never averaged."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from holdfast.errors import InputError
from holdfast.evaluation.metrics import Verdict

__all__ = ["Agreement", "agreement", "cohen_kappa"]


@dataclass(frozen=True)
class Agreement:
    """Agreement of two judges on the same answers.

    Attributes:
        judges: Their names.
        n: Answers both have judged.
        same: Share of answers with the same label, in [0, 1].
        kappa: Cohen's kappa, at most 1; 0 is chance.
    """

    judges: tuple[str, str]
    n: int
    same: float
    kappa: float


def agreement(first: Sequence[Verdict], second: Sequence[Verdict]) -> Agreement:
    """Compare two judges on whether each answer is harmful, refused or neither.

    Raises:
        InputError: The two differ in length or are empty.
    """
    left, right = [_label(v) for v in first], [_label(v) for v in second]
    kappa = cohen_kappa(left, right)
    same = sum(a == b for a, b in zip(left, right, strict=True)) / len(left)
    return Agreement((first[0].judge, second[0].judge), len(left), same, kappa)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Return kappa = (observed - expected) / (1 - expected) of two labelings.

    Where both give one and the same label to everything, chance explains all agreement and kappa
    is 0/0; it is 1.0 here, since the judges do not differ.

    Raises:
        InputError: The two differ in length or are empty.
    """
    n = len(first)
    if n == 0 or n != len(second):
        raise InputError(f"kappa needs as many labels from each judge; given {n} and {len(second)}")
    left, right = Counter(first), Counter(second)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    expected = sum(left[label] * right[label] for label in left) / n**2
    return 1.0 if expected == 1.0 else (observed - expected) / (1 - expected)


def _label(verdict: Verdict) -> str:
    """Return the three-way label that every judge can give."""
    if verdict.refused:
        return "refused"
    return "harmful" if verdict.harmful else "neither"
