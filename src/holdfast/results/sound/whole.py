"""Whether the numbers of a result file can be: one that was edited or damaged is not read.

A report shows the figures, a gate counts the answers, a table takes the counts. Where they do not
say the same, one of them is wrong, and nobody can tell which.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.evaluation.interval import Difference, Estimate, Interval, Share
from holdfast.results.provenance import DataSource
from holdfast.results.readings import Reading
from holdfast.results.records import Arm, SeedRun, plain_of
from holdfast.results.redteam.records import RedTeam
from holdfast.results.sound.means import NEAR, of_differences, of_means
from holdfast.results.sound.under_attack import Faults, faults_of, twice

__all__ = ["first_fault", "first_no_number"]


def first_no_number(document: Any) -> str | None:
    """Return where a JSON value holds NaN or infinity; holdfast writes null for them."""
    parts = (
        document.items() if isinstance(document, Mapping)
        else enumerate(document) if isinstance(document, list) else ()
    )  # fmt: skip
    for name, value in parts:
        if isinstance(value, float) and not math.isfinite(value):
            return str(name)
        if (inner := first_no_number(value)) is not None:
            return f"{name}.{inner}"
    return None


def first_fault(
    arms: Sequence[Arm], data: Sequence[DataSource], red_team: RedTeam | None
) -> tuple[str, str] | None:
    """Return where a result says what cannot be, and what; None where all fits together."""
    return next(_faults(arms, data, red_team), None)


def _faults(arms: Sequence[Arm], data: Sequence[DataSource], red_team: RedTeam | None) -> Faults:
    for place, source in enumerate(data):
        if source.rows < 0:
            yield f"data.{place}.rows", f"{source.rows} rows"
    for place, arm in enumerate(arms):
        yield from _at(f"arms.{place}", _of_arm(arm))
        yield from _at(f"arms.{place}", of_means(arm))
        yield from _at(f"arms.{place}.versus_plain", of_differences(arm, plain_of(arm, arms)))
    if red_team is not None:
        yield from _at("red_team", faults_of(red_team))


def _at(where: str, faults: Faults) -> Faults:
    return ((f"{where}.{inner}", what) for inner, what in faults)


def _of_arm(arm: Arm) -> Faults:
    if arm.p is not None and not 0 <= arm.p <= 1:
        yield "p", f"{arm.p:g} is no share"
    if again := twice(arm.seeds):
        yield "runs", f"two runs have the seed {again[0]}"
    for place, run in enumerate(arm.runs):
        yield from _at(f"runs.{place}", _of_run(run))
    yield from _at("figures", _of_intervals(arm.figures))
    for judge, figures in arm.beside.items():
        yield from _at(f"beside.{judge}", _of_intervals(figures))
    yield from _at("versus_plain", _of_intervals(arm.versus_plain))


def _of_intervals(figures: Mapping[Any, Interval]) -> Faults:
    for name, one in figures.items():
        least = -1 if isinstance(one, Difference) else 0
        if not least - NEAR <= min(one.value, one.low) <= max(one.value, one.high) <= 1 + NEAR:
            yield str(name), f"{one.value:g} ({one.low:g} to {one.high:g}) is no share"
        elif one.low > one.high:
            yield str(name), f"its interval ends at {one.high:g}, below {one.low:g}"
        elif isinstance(one, Share) and one.n < 0:
            yield str(name), f"a share of {one.n} answers"
        elif isinstance(one, Estimate) and min(one.prompts, one.seeds) < 0:
            yield str(name), f"a share of {one.prompts} prompts and {one.seeds} runs"


def _of_run(run: SeedRun) -> Faults:
    for name in ("seconds", "cpu_seconds", "peak_memory_gib", "perplexity"):
        if (given := getattr(run, name)) is not None and given < 0:
            yield name, f"{given:g} is below 0"
    yield from ((f"cut.{kind}", f"{n:g} is no share") for kind, n in run.cut.items() if not _in(n))
    for place, answer in enumerate(run.answers):
        for name in ("kept", "probability"):
            if not _in(getattr(answer, name) or 0):
                yield f"answers.{place}.{name}", f"{getattr(answer, name):g} is no share"
    yield from _of_judged(run)
    for place, reading in enumerate(run.readings):
        yield from _at(f"readings.{place}", _of_judged(reading))


def _in(value: float) -> bool:
    return -NEAR <= value <= 1 + NEAR


def _of_judged(judged: SeedRun | Reading) -> Faults:
    """Hold a judge's figures and counts against its answers, where these were kept."""
    yield from _at("shares", _of_intervals(judged.shares))
    for kind, counts in judged.counts.items():
        if min(counts.values(), default=0) < 0:
            yield f"counts.{kind}", "a number of answers below 0"
    if not judged.answers:
        return
    if again := twice([(answer.kind, answer.id) for answer in judged.answers]):
        yield "answers", f"two are to the question {again[0][1]!r}"
    for kind, counts in judged.counts.items():
        there = Counter(answer.outcome for answer in judged.answers if answer.kind == kind)
        if Counter(counts) != there:
            yield f"counts.{kind}", "not as the answers have it"
    yield from _at("shares", _not_of_the_answers(judged))


def _not_of_the_answers(judged: SeedRun | Reading) -> Faults:
    degrees = any(getattr(answer, "kept", None) is not None for answer in judged.answers)
    for figure, share in judged.shares.items():
        if figure == "usefulness" and degrees:
            continue  # Of the answers that were kept, whatever a judge leaves unscored.
        hits = judged.hits(figure).values()
        if share.n != len(hits) or abs(share.value * share.n - sum(hits)) > NEAR * max(share.n, 1):
            told, there = f"{share.value:g} of {share.n}", f"{sum(hits):g} in {len(hits)}"
            yield figure, f"{told}, not as the answers have it: {there}"
