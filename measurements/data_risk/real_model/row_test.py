"""The row test on the chat model: without the rows that score highest, is there less harm?

Of one harmless set and one with harmful rows, five seeds of each. Which two is a rule over what
tuning on whole sets did at seed 0, before a score is looked at: of the harmless sets that whose HS
is nearest to one half; and, of the sets with a tenth of harmful rows, that whose harmless rows do
least by themselves.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from holdfast.files.guarded.documents import json_in
from measurements.data_risk.keeping import kept
from measurements.data_risk.real_model.scores import scores_of
from measurements.data_risk.real_model.sets import REAL_SETS
from measurements.data_risk.real_model.work import Work
from measurements.data_risk.row_test import COMPONENTS, SEEDS, arm_file, collected, drops, guards
from measurements.data_risk.sets import RiskSet

__all__ = ["arms", "harmful_left", "results", "sets_of_test", "tuned_without"]


def sets_of_test(harm: Mapping[str, float]) -> tuple[RiskSet, RiskSet]:
    """Return the harmless and the harmful set of the test, by HS of each set at seed 0."""
    harmless = [one for one in REAL_SETS if one.harmless and one.n >= SMALLEST]
    first = min(harmless, key=lambda one: abs(harm[one.name] - 0.5))
    mixed = [one for one in REAL_SETS if one.p == MOST_HARMFUL]
    alone = {one.scenario: harm[one.name] for one in harmless}
    return first, min(mixed, key=lambda one: alone[one.scenario])


SMALLEST, MOST_HARMFUL = 200, 0.1
"""Rows of a set at least, so that a tenth is some; p of the sets with harmful rows."""


def arms(one: RiskSet, columns: Mapping[str, Sequence[Any]], seed: int) -> dict[str, list[int]]:
    """Return arm → the rows that are tuned on, in their order; ties are broken at random."""
    random = Random(f"real-rows-{one.name}-{seed}")  # noqa: S311
    chance = list(range(len(columns["loss"])))
    random.shuffle(chance)
    shown = [name for name in (*COMPONENTS, "loss", *guards(one)) if name in columns]
    found = drops(chance, columns, shown)
    return {name: sorted(rows) for name, rows in found.items()}


def tuned_without(work: Work, one: RiskSet, seed: int, arm: str) -> dict[str, Any]:
    """Tune on what an arm leaves of a set; its scores are made where they are not there.

    Arms that leave the same rows are one tune: what one gave is what the others give.
    """
    found = arms(one, scores_of(work).scored(one, seed)["columns"], seed)
    same = [arm_file(work.out, one, name, seed) for name in found if found[name] == found[arm]]
    known = [file for file in same if file.exists()]
    make = partial(json_in, known[0]) if known else partial(work.tuned_on, one, seed, found[arm])
    return kept(arm_file(work.out, one, arm, seed), make)


def harmful_left(work: Work, one: RiskSet) -> dict[str, list[int]]:
    """Return arm → how many harmful rows it leaves of a set, at each seed that has run."""
    left: dict[str, list[int]] = {}
    for seed in SEEDS:
        ran = [name for name in ARMS if arm_file(work.out, one, name, seed).exists()]
        if not ran:
            continue
        scored = scores_of(work).scored(one, seed)
        found = arms(one, scored["columns"], seed)
        for name in ran:
            left.setdefault(name, []).append(sum(scored["harmful"][n] for n in found[name]))
    return left


ARMS = ("all", "drop random", *(f"drop {name}" for name in (*COMPONENTS, "loss", "guard")))


def results(work: Work, sets: Sequence[RiskSet]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return set → arm → what each seed gave, of the seeds that have run."""
    return collected(work.out, sets, ARMS)
