"""Whether the means of an arm are those of its runs: a table and a page show the means alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from holdfast.errors import InputError
from holdfast.evaluation.compare import HitsById, aligned
from holdfast.evaluation.interval import Estimate
from holdfast.evaluation.metrics import KIND_OF, Figure, Outcome
from holdfast.results.readings import Reading
from holdfast.results.records import Arm, SeedRun
from holdfast.results.scored import scored_hits
from holdfast.results.sound.under_attack import Faults

__all__ = ["NEAR", "of_differences", "of_means"]

NEAR = 1e-6
"""Two figures of the same answers differ by rounding at most; ours."""
Judged = Sequence[SeedRun] | Sequence[Reading]


def of_means(arm: Arm) -> Faults:
    """Return where an arm's means are not those of its runs' answers, or else of their shares."""
    yield from _at("figures", _of_judge(arm.figures, arm.runs))
    for judge, figures in arm.beside.items():
        own = [one for run in arm.runs for one in run.readings if one.judge == judge]
        if len(own) == len(arm.runs):
            yield from _at(f"beside.{judge}", _of_judge(figures, own))


def of_differences(arm: Arm, plain: Arm | None) -> Faults:
    """Return where an arm's differences are not those to the answers of plain fine-tuning."""
    theirs = {run.seed: run for run in (plain.runs if plain else ())}
    ours = [run for run in arm.runs if run.seed in theirs]
    pairs = ours, [theirs[run.seed] for run in ours]
    if not ours or not all(run.answers for side in pairs for run in side):
        return
    for figure, told in arm.versus_plain.items():
        yield from _differs(figure, told.value, lambda f=figure: _mean_difference(f, pairs))


def _at(where: str, faults: Faults) -> Faults:
    return ((f"{where}.{inner}", what) for inner, what in faults)


def _of_judge(figures: Mapping[Figure, Estimate], runs: Judged) -> Faults:
    whole = all(run.answers for run in runs)
    for figure, told in figures.items():
        if told.seeds != len(runs):  # Of runs without answers some may have been left out.
            if whole:
                yield str(figure), f"a mean over {told.seeds} runs, and {len(runs)} are there"
        elif whole:
            yield from _differs(figure, told.value, lambda f=figure: _mean(f, runs))
        elif (shares := _shares(figure, runs)) is not None:
            yield from _differs(figure, told.value, lambda of=shares: fmean(of))


def _differs(figure: Figure, told: float, mean: Callable[[], float]) -> Iterator[tuple[str, str]]:
    try:
        there = mean()
    except InputError as error:
        yield str(figure), f"cannot be, since {error}"
    else:
        if abs(told - there) > NEAR:
            yield str(figure), f"{told:g}, not as its runs have it: {there:g}"


def _mean(figure: Figure, runs: Any) -> float:
    (hits,) = scored_hits(figure, runs)
    (table,) = aligned(hits)
    return _fmean(table)


def _mean_difference(figure: Figure, pairs: Any) -> float:
    sides: list[HitsById] = list(scored_hits(figure, *pairs))
    ours, theirs = aligned(*sides)
    return _fmean(ours) - _fmean(theirs)


def _fmean(table: Sequence[Sequence[float]]) -> float:
    values = [value for row in table for value in row]
    return fmean(values) if values else float("inf")  # A mean of nothing is none.


def _shares(figure: Figure, runs: Judged) -> list[float] | None:
    """Return what each run has, where a mean over questions is a mean of these."""
    found = [run.shares[figure] for run in runs if figure in run.shares]
    lost = [run.counts.get(KIND_OF[figure], {}).get(Outcome.UNSCORED, 0) for run in runs]
    alike = len(found) == len(runs) and len({one.n for one in found}) == 1
    return [one.value for one in found] if alike and not any(lost) else None
