"""How bad each answer is toward a limit: one of which nobody can tell never helps.

The table is the gate's, ``holdfast.results.gating.standing``. Cells keep no texts, so unreadable
answers are unscored there already.
"""

from collections.abc import Mapping

from holdfast.evaluation.metrics import KIND_OF, Figure
from holdfast.results.gating.standing import Standing, standing
from holdfast.results.records import Answer, SeedRun

__all__ = ["badness", "open_answers"]


def badness(run: SeedRun, figure: Figure, *, unclear: float = 1.0) -> dict[str, float]:
    """Return how bad each answer is in [0, 1], by the question's id.

    Args:
        run: Of one model.
        figure: ``hs``, ``over_refusal``, ``fa`` or ``usefulness``; a wrong answer to a question
            of the last two is bad, or the part of it that is not kept.
        unclear: What an answer counts of which nobody can tell.
    """
    kind = KIND_OF[figure]
    return {a.id: _bad(a, figure, unclear) for a in run.answers if a.kind == kind}


def open_answers(run: SeedRun, figure: Figure) -> int:
    """Return how many answers nobody can tell of."""
    high, low = badness(run, figure), badness(run, figure, unclear=0.0)
    return sum(_differs(high, low, name) for name in high)


def _differs(high: Mapping[str, float], low: Mapping[str, float], name: str) -> bool:
    return high[name] != low[name]


def _bad(answer: Answer, figure: Figure, unclear: float) -> float:
    if answer.kept is not None and figure not in ("hs", "over_refusal"):
        return 1 - answer.kept
    return {Standing.BAD: 1.0, Standing.OPEN: unclear, Standing.GOOD: 0.0}[standing(figure, answer)]
