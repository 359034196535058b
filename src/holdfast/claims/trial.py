"""One test of a claim, made on the arms of a result."""

from collections.abc import Mapping, Sequence

from holdfast.claims import files, verdicts
from holdfast.claims.arms import Bindings, UnreadableError, matching, profiles, same_answers
from holdfast.claims.files import Need, Selector, Test
from holdfast.claims.verdicts import Finding
from holdfast.evaluation.metrics import Figure
from holdfast.results.records import Arm
from holdfast.results.result import RunResult

__all__ = ["judged"]

LOWER_IS_BETTER: tuple[Figure, ...] = ("hs", "hs_content", "hs_garbled", "over_refusal")


def judged(
    test: Test,
    bound: Bindings,
    needs: Sequence[Need] = (),
    elsewhere: tuple[RunResult | None, Mapping[str, Selector]] = (None, {}),
) -> Finding:
    """Return what a test finds; ``not comparable`` where it cannot be made.

    Args:
        test: The test.
        bound: The arm behind each name, or why there is none.
        needs: Of the claim, besides the test's own.
        elsewhere: A second model's result and the claim's selectors, for tests of architectures.
    """
    try:
        for need in (*needs, *test.needs):
            _check(need, bound)
        if isinstance(test, files.Apart):
            return _apart(test, bound, *elsewhere)
        return _made(test, bound)
    except UnreadableError as error:
        return verdicts.not_comparable(str(error))


def _made(test: Test, bound: Bindings) -> Finding:
    match test:
        case files.Differs() | files.Equals() | files.NotWorse():
            return _of_pair(test, bound)
        case files.Trend():
            levels = same_answers(_arms(test.arms, bound), test.figure)
            return verdicts.trend(levels, test.towards, test.smallest)
        case files.Bound():
            [hits] = same_answers(_arms([test.arm], bound), test.figure)
            return verdicts.bound(hits, test.towards, test.level)
        case files.AtEqualAccuracy():
            return _at_equal_accuracy(test, bound)
        case files.Uneven():
            return verdicts.uneven(profiles(_arm(test.arm, bound), test.curve), test.smallest)
        case files.Apart():
            raise UnreadableError("it needs a second model's result")


def _of_pair(test: files.Differs | files.Equals | files.NotWorse, bound: Bindings) -> Finding:
    ours, theirs = same_answers(_arms([test.ours, test.theirs], bound), test.figure)
    if isinstance(test, files.Differs):
        return verdicts.difference(ours, theirs, test.towards, test.smallest)
    if isinstance(test, files.Equals):
        return verdicts.equivalence(ours, theirs, test.margin)
    lower = test.figure in LOWER_IS_BETTER
    return verdicts.not_worse(ours, theirs, test.margin, lower_is_better=lower)


def _arm(name: str, bound: Bindings) -> Arm:
    found = bound[name]
    if isinstance(found, str):
        raise UnreadableError(found)
    return found


def _arms(names: Sequence[str], bound: Bindings) -> list[Arm]:
    return [_arm(name, bound) for name in names]


def _at_equal_accuracy(test: files.AtEqualAccuracy, bound: Bindings) -> Finding:
    names = [test.plain, *test.ours, *test.theirs]
    arms, cut = _arms(names, bound), 1 + len(test.ours)
    fa, hs = same_answers(arms, "fa"), same_answers(arms, "hs")
    answers = [hit for run in fa[0] for hit in run]
    accuracy = (sum(answers) / len(answers) if answers else 0.0) - test.drop
    return verdicts.at_equal_accuracy(
        round(accuracy, 9), (fa[1:cut], hs[1:cut]), (fa[cut:], hs[cut:]), test.smallest
    )


def _apart(
    test: files.Apart, bound: Bindings, second: RunResult | None, selectors: Mapping[str, Selector]
) -> Finding:
    ours = profiles(_arm(test.arm, bound), test.curve)
    if second is None:
        raise UnreadableError("one architecture was measured; give a second model's result")
    others = matching(second, selectors[test.arm])
    if len(others) != 1:
        raise UnreadableError(f"{len(others)} arms of the second result fit {test.arm}")
    return verdicts.apart(ours, profiles(others[0], test.curve), test.smallest)


def _check(need: Need, bound: Bindings) -> None:
    """Raise unless the need is met at the mean."""
    mean = _arm(need.arm, bound).mean(need.figure)
    if mean is None:
        raise UnreadableError(f"{need.figure} of {need.arm} was not measured")
    low, high = need.at_least, need.at_most
    if (low is not None and mean < low) or (high is not None and mean > high):
        wanted = f"at least {low:g}" if low is not None and mean < low else f"at most {high:g}"
        raise UnreadableError(
            f"{need.figure.upper()} of {need.arm} is {mean:.2f}, and the test needs {wanted}"
        )
