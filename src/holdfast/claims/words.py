"""What tests of claims found, in words made from the numbers."""

from collections.abc import Mapping, Sequence

from holdfast.claims.files import Test
from holdfast.claims.verdicts import NOT, OPEN, PART, Finding, Verdict

__all__ = ["claim_reason", "test_reason"]

WORST_FIRST: tuple[Verdict, ...] = (NOT, PART, OPEN)
MINUS = "\N{MINUS SIGN}"


def test_reason(test: Test, found: Finding, labels: Mapping[str, str]) -> str:
    """Return the statistic with its interval and the rule that gave the verdict."""
    what = _statistic(test, labels)
    if found.value is None or found.low is None or found.high is None:
        return f"{what}: {found.why}"
    points = test.kind not in ("bound", "uneven")
    told = [_number(x, signed=points) for x in (found.value, found.low, found.high)]
    size = f"{told[0]} {'points' if points else '%'} [{told[1]}, {told[2]}]"
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


def _number(value: float, *, signed: bool) -> str:
    rounded = round(100 * value)
    sign = "+" if signed and rounded > 0 else ""
    return f"{sign}{rounded}".replace("-", MINUS)
