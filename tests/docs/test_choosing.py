"""Which defense the README says to take: by figures, and never one that costs the task."""

from functools import cache

from choosing import HELD, LOST, which_one

from holdfast.comparisons.worst_case import summarize
from holdfast.evaluation.interval import Interval
from holdfast.results.records import PLAIN
from holdfast.results.result import RunResult
from tests.synthetic_bench import arms

FREE = Interval(0.0, 0.0, 0.0)


@cache
def summary():
    return summarize(arms())


def bench(change):
    """A bench in which no method refuses harmless prompts, with one change more."""
    first = summary().worst[0]
    worst = [
        first.model_copy(
            update={
                "scenario": name,
                "rows": [
                    change(row.model_copy(update={"over_refusal_worst": FREE}))
                    for row in first.rows
                ],
            }
        )
        for name in ("harmful_mix", "benign_obedience")
    ]
    told = summary().model_copy(update={"worst": worst})
    return RunResult.of("bench", arms(), model="m", bench=told)


def taken(result, words):
    lines = [one for one in which_one(result).splitlines() if one.startswith(f"| {words}")]
    return [line.split("[")[1].split("]")[0] for line in lines]


def rows(result):
    return {row.defense: row for row in result.bench.worst[0].rows}


def priced(defense, lost):
    """Return what changes one method's least task score to plain's less ``lost``."""
    plain = next(row for row in summary().worst[0].rows if row.defense == PLAIN)

    def change(row):
        value = plain.fa_worst.value - lost
        own = Interval(value, value, value)
        return row.model_copy(update={"fa_worst": own}) if row.defense == defense else row

    return change


def test_the_lowest_upper_end_is_taken_where_it_costs_little():
    result = bench(priced("security_vectors", 0.0))
    every = rows(result)
    assert taken(result, "tune, and")[0] == "security_vectors"
    others = [every[name].hs.high for name in ("swat", "safe_mixing")]
    assert every["security_vectors"].hs.high < min(others)


def test_what_costs_more_than_two_points_of_the_task_is_not_taken():
    assert "security_vectors" in taken(bench(priced("security_vectors", LOST)), "tune, and")
    assert "security_vectors" not in taken(bench(priced("security_vectors", 0.03)), "tune, and")


def test_what_refuses_harmless_prompts_is_not_taken():
    def change(row):
        refuses = row.defense == "security_vectors"
        return row.model_copy(
            update={"over_refusal_worst": Interval(0.9, 0.8, 1.0)} if refuses else {}
        )

    assert "security_vectors" not in taken(bench(change), "tune, and")


def test_the_quickest_that_held_stands_beside_the_safest():
    def change(row):
        low = Interval(0.02, 0.0, HELD)
        if row.defense in ("safe_mixing", "security_vectors"):
            seconds = {"safe_mixing": 1.1, "security_vectors": 1.4}[row.defense]
            high = low if row.defense == "safe_mixing" else Interval(0.01, 0.0, 0.05)
            own = {"hs": high, "relative_time": seconds, "fa_worst": Interval(1.0, 1.0, 1.0)}
            return row.model_copy(update=own)
        return row

    assert taken(bench(change), "tune, and") == ["security_vectors", "safe_mixing"]
