"""Answers of several arms as one table of hits, the same seeds and questions in the same order."""

from collections.abc import Sequence

from holdfast.evaluation.compare import aligned
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.metrics import Figure
from holdfast.evaluation.resampling import SettingHits
from holdfast.evaluation.statistics import share_over_seeds
from holdfast.results.records import Arm
from holdfast.results.scored import scored_hits

__all__ = ["has_answers", "same_questions", "scored_in_all", "seeds_of", "share_of", "table_of"]


def has_answers(arm: Arm, figure: Figure) -> bool:
    """Return whether a question of ``figure`` was answered, and scored, in every run of the arm."""
    return scored_in_all([arm], figure, arm.seeds)


def scored_in_all(arms: Sequence[Arm], figure: Figure, seeds: Sequence[int]) -> bool:
    """Return whether ``table_of`` has a question: one that was scored in all of these runs."""
    runs = [run for arm in arms for run in arm.runs if run.seed in seeds]
    scored = [run.hits(figure).keys() for run in runs]
    return bool(scored) and bool(set(scored[0]).intersection(*scored[1:]))


def seeds_of(arms: Sequence[Arm]) -> list[int]:
    """Return the seeds that every arm ran with, in order."""
    shared = set.intersection(*(set(arm.seeds) for arm in arms)) if arms else set[int]()
    return sorted(shared)


def same_questions(arms: Sequence[Arm]) -> bool:
    """Return whether every run of every arm answered the same items."""
    return len({frozenset(a.id for a in run.answers) for arm in arms for run in arm.runs}) <= 1


def table_of(arms: Sequence[Arm], figure: Figure, seeds: Sequence[int]) -> SettingHits:
    """Return hits ``[arms][seeds][prompts]`` on the prompts that were scored in all of them.

    Raises:
        InputError: The arms answered other questions.
    """
    runs = [{run.seed: run for run in arm.runs} for arm in arms]
    return aligned(*scored_hits(figure, *([of[seed] for seed in seeds] for of in runs)))


def share_of(arm: Arm, figure: Figure, seeds: Sequence[int]) -> Interval:
    """Return a figure of one arm, which has answers, over ``seeds`` alone."""
    (hits,) = table_of([arm], figure, seeds)
    return share_over_seeds(hits).bare
