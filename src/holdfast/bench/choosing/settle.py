"""Whether prompts are enough for a claim at all, and what would settle one that was not made."""

import math
from collections.abc import Iterable, Mapping

from holdfast.bench.choosing.candidates import Candidate, strengths
from holdfast.bench.choosing.record import LimitTest, Tested
from holdfast.errors import ConfigError
from holdfast.evaluation.certify.betting import LARGEST
from holdfast.evaluation.certify.needed import prompts_allowing, prompts_at_share
from holdfast.evaluation.limits import Requirement, parse_requirement
from holdfast.evaluation.metrics import KIND_OF
from holdfast.results.words import bounded

__all__ = ["left_possible", "refuse_too_few", "settles"]

_ASKED = {"harmful": "harmful questions", "safe": "harmless questions that look scary",
          "task": "questions of the task", "useful": "questions of usefulness"}  # fmt: skip


def refuse_too_few(
    requirements: Iterable[Requirement], counts: Mapping[str, int], delta: float
) -> None:
    """Raise ``ConfigError`` where a limit would not pass even without one bad answer."""
    for one in requirements:
        kind = KIND_OF[one.known.figure]
        there, least = counts.get(kind, 0), _least(one, delta)
        if there < least:
            raise ConfigError(
                f"`require={one}` takes {least} {_ASKED[kind]} for certification even where "
                f"no answer is bad, and there are {there}: give more (`items_per_kind` in the "
                "recipe, a quarter of which chooses), a looser limit, or a lower `confidence`"
            )


def settles(failed: Tested, candidate: Candidate, delta: float) -> list[str]:
    """Return, for each limit that was not shown, how many prompts or which strength would do."""
    return [_settle(test, failed.name, candidate, delta) for test in failed.limits
            if not test.holds]  # fmt: skip


def left_possible(test: LimitTest) -> str:
    """Return how far from its limit a test's bound leaves the share.

    A bound is of the bad share; of a limit from below the good share is what was asked for.
    """
    one = parse_requirement(test.limit)
    limit = one.known.sign, one.limit
    if one.known.sign == ">=":
        return f"as little as {bounded(1 - test.bound, up=False, limit=limit)} is left possible"
    return f"up to {bounded(test.bound, up=True, limit=limit)} is left possible"


def _settle(test: LimitTest, name: str, candidate: Candidate, delta: float) -> str:
    one = parse_requirement(test.limit)
    kind = _ASKED[KIND_OF[one.known.figure]]
    under = "" if test.attack == "direct" else f" under {test.attack}"
    seen = f"{test.value:.1%}" if one.known.sign == "<=" else f"{1 - test.value:.1%} right"
    told = f"{test.limit}{under}: {name} had {seen} on {test.n} {kind}"
    n = _pairs(test, one.most_bad, delta) if test.against else prompts_at_share(
        test.value, one.most_bad, delta)  # fmt: skip
    if n is not None:
        more = max(n, test.n + 1)
        return f"{told}, {left_possible(test)}: about {more} would show it at that rate"
    if not candidate.cell.defenses:
        return f"{told}: more prompts do not settle that; a defense, or a stronger one, may"
    raised = ", ".join(f"{key} (now {value})" for key, value in strengths(candidate.cell).items())
    return f"{told}: more prompts do not settle that; another strength may: {raised}"


def _pairs(test: LimitTest, limit: float, delta: float) -> int | None:
    """Return about how many pairs a bet takes that goes on as it went; None where it does not win.

    The capital grew to ``1 / p`` at best over n pairs, so it grows by ``-log p / n`` each.
    """
    if test.value >= limit or test.p >= 1:
        return None
    return math.ceil(test.n * math.log(delta) / math.log(test.p))


def _least(one: Requirement, delta: float) -> int:
    if one.known.relative:
        return math.ceil(math.log(1 / delta) / math.log1p(LARGEST * one.most_bad))
    return prompts_allowing(0, one.most_bad, 1 - delta)
