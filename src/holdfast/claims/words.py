"""What tests of claims found, in words made from the numbers."""

import re
from collections.abc import Mapping, Sequence

from holdfast.claims.files import Test
from holdfast.claims.verdicts import NOT, OPEN, PART, Finding, Verdict
from holdfast.results.words import MINUS, shown

__all__ = ["claim_reason", "test_reason"]

WORST_FIRST: tuple[Verdict, ...] = (NOT, PART, OPEN)


def test_reason(test: Test, found: Finding, labels: Mapping[str, str]) -> str:
    """Return the statistic with its interval and the rule that gave the verdict."""
    what = _statistic(test, labels)
    if found.statistic is None:
        return f"{what}: {found.why}"
    size = shown(found.statistic, "percent" if test.kind in ("bound", "uneven") else "points")
    # In a sentence zeros need no sign; a page keeps it, where figures stand below each other.
    size = re.sub(rf"[+{MINUS}]0\b", "0", size)
    return f"{what}: {size} over {found.seeds} seeds ({found.why})"


def claim_reason(
    tests: Sequence[tuple[str, Finding]], provided: Sequence[tuple[str, Finding]]
) -> str:
    """Return one sentence: how many tests hold, the one that decides, and a condition not met.

    Args:
        tests: The reason and the finding of each test.
        provided: The same of each condition.
    """
    if all(found.verdict == OPEN for _, found in tests):
        return f"No test can be made: {tests[0][1].why}."
    parts: list[str] = []
    if len(tests) > 1:
        held = sum(found.verdict == "holds" for _, found in tests)
        parts.append(f"{held} of {len(tests)} tests hold")
    parts.append(_decisive(tests))
    unmet = [reason for reason, found in provided if found.verdict != "holds"]
    if unmet:
        parts.append(f"but {unmet[0]}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _decisive(tests: Sequence[tuple[str, Finding]]) -> str:
    for verdict in WORST_FIRST:
        for reason, found in tests:
            if found.verdict == verdict:
                return reason
    return tests[0][0]


def _statistic(test: Test, labels: Mapping[str, str]) -> str:
    """Return what is measured, with the arms as a reader calls them."""
    match test.kind:
        case "difference" | "equivalence" | "not_worse":
            pair = f"{labels[test.ours]} minus {labels[test.theirs]}"
            return f"{test.figure.upper()} of {pair}"
        case "trend":
            ends = f"{labels[test.arms[-1]]} minus {labels[test.arms[0]]}"
            return f"{test.figure.upper()} of {ends}"
        case "bound":
            return f"{test.figure.upper()} of {labels[test.arm]}"
        case "equal_accuracy":
            return f"HS at {100 * test.drop:g} points less FA than plain, ours minus theirs"
        case "uneven":
            return f"largest layer over the mean layer, {labels[test.arm]}"
        case "architectures":
            return "largest difference of a layer's share"
