"""A bench in parts: what ran later stands in the tables of what was published before."""

import pytest
from joined import joined
from simple_baselines import adds_table, simple_parts, tuned_table

from holdfast.comparisons.worst_case import summarize
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.result import RunResult
from measurements.baselines import document
from tests.synthetic_bench import arms


def bench(wanted):
    own = [arm for arm in arms() if arm.defense in (BEFORE, PLAIN) or wanted(arm)]
    return RunResult.of("bench", own, model="m", bench=summarize(own))


def names(result):
    return {row.defense for table in result.bench.worst for row in table.rows}


def test_parts_make_the_whole_and_the_later_part_counts_where_an_arm_ran_twice():
    whole = bench(lambda _: True)
    name = next(a.defense for a in whole.arms if a.defense not in (BEFORE, PLAIN))
    early, late = bench(lambda arm: arm.defense != name), bench(lambda arm: arm.defense == name)
    both = joined(early, [late])
    assert names(both) == names(whole)
    assert len(both.arms) == len(whole.arms)
    twice = joined(whole, [late])
    assert len(twice.arms) == len(whole.arms)
    rows = [row for table in twice.bench.worst for row in table.rows if row.defense == name]
    assert rows == [row for table in late.bench.worst for row in table.rows if row.defense == name]


def test_a_part_under_other_attacks_is_no_part():
    whole = bench(lambda _: True)
    fewer = [arm for arm in whole.arms if arm.attack != whole.bench.worst[0].attacks[-1]]
    other = RunResult.of("bench", fewer, model="m", bench=summarize(fewer))
    with pytest.raises(ValueError, match="other attacks"):
        joined(whole, [other])


def test_what_an_arm_adds_is_its_paired_difference_to_each_baseline():
    attack = next(arm.attack for arm in arms() if arm.defense == PLAIN and arm.p)
    under = [arm for arm in arms() if arm.attack == attack]
    told = document(under, under)
    assert {row["minus"] for row in told["adds"]} <= {
        "tuned",
        "safe_mixing",
        "memory_anchor(replay)",
    }
    one = next(row for row in told["adds"] if row["minus"] == "tuned")
    [ours] = [arm for arm in under if arm.defense == one["defense"]]
    [plain] = [arm for arm in under if arm.defense == PLAIN]
    apart = ours.figures["hs"].value - plain.figures["hs"].value
    assert one["hs"][0] == pytest.approx(apart)
    assert one["hs"][1] <= one["hs"][0] <= one["hs"][2]
    text = adds_table(told["adds"])
    assert f"{one['hs'][0]:+.2f}" in text.replace("−", "-").replace(" ", "")
    assert "plain fine-tuning" in tuned_table(told["at_tuned"])


def test_nothing_is_told_where_nothing_was_measured(tmp_path):
    assert simple_parts(tmp_path / "none.json") == {"adds": "", "tuned": ""}
