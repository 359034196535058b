"""What a run costs over plain fine-tuning: CPU time where both know it, the clock otherwise."""

import math

import pytest

from holdfast.comparisons.costs import cost_rows
from holdfast.results.costs import memory_ratio, perplexity_over, ratios, time_ratio
from holdfast.results.records import Arm, Attack, SeedRun
from holdfast.results.result import RunResult

ATTACK = Attack(scenario="x", p=0.1, learning_rate=1e-3, steps=4, epochs=1.0, rows=16)


def run(seed, seconds, cpu=None, memory=None, perplexity=None, machine=""):
    return SeedRun(seed=seed, seconds=seconds, cpu_seconds=cpu, peak_memory_gib=memory,
                   perplexity=perplexity, machine=machine)  # fmt: skip


def test_the_clock_of_a_busy_machine_is_no_cost():
    plain, ours = [run(0, 10, 4.0), run(1, 10, 4.0)], [run(0, 90, 6.0), run(1, 90), run(2, 1, 1.0)]
    assert ratios(ours, plain, time_ratio) == [1.5, 9.0]
    assert ratios([run(0, 1, memory=3.0)], [run(0, 1, memory=2.0)], memory_ratio) == [1.5]
    assert ratios([run(0, 1)], [run(0, 1)], memory_ratio) == []
    arms = [Arm.of("none", plain, scenario="x", p=0.1, attack=ATTACK),
            Arm.of("a", ours[:1], scenario="x", p=0.1, attack=ATTACK),
            Arm.of("before", [SeedRun(seed=0)], scenario="x")]  # fmt: skip
    result = RunResult.of("bench", arms)
    rows = {row["defense"]: row for row in cost_rows(result)}
    assert list(rows) == ["none", "a"]
    assert rows["none"]["relative_time"] == 1.0
    assert rows["a"] == {
        "scenario": "x", "p": 0.1, "learning_rate": 1e-3, "epochs": 1.0, "rows": 16, "steps": 4,
        "defense": "a", "seeds": 1, "machine": "", "seconds": 90.0, "cpu_seconds": 6.0,
        "peak_memory_gib": None,
        "relative_time": 1.5, "relative_memory": None,
    }  # fmt: skip


def test_a_seed_on_a_gpu_is_no_measure_of_one_on_a_processor():
    """A repair of 600 s on two cores over a plain run of 17 s on a GPU is no cost of 35 times."""
    here, there = {"machine": "EPYC"}, {"machine": "H200"}
    plain = [run(0, 16, 16.0, 2.0, **there), run(1, 200, 200.0, 4.0, **here)]
    ours = [run(0, 600, 600.0, 6.0, **here), run(1, 600, 600.0, 6.0, **here), run(2, 9, **there)]
    assert ratios(ours, plain, time_ratio) == [3.0]
    assert ratios(ours, plain, memory_ratio) == [1.5]
    assert ratios([run(0, 32, 32.0)], plain, time_ratio) == [2.0]  # Where it ran is not known.
    arms = [Arm.of("none", plain, scenario="x", p=0.1, attack=ATTACK),
            Arm.of("a", ours, scenario="x", p=0.1, attack=ATTACK)]  # fmt: skip
    (_, row) = cost_rows(RunResult.of("bench", arms))
    assert (row["machine"], row["seeds"], row["seconds"]) == ("EPYC", 2, 600.0)
    assert (row["relative_time"], row["relative_memory"]) == (3.0, 1.5)


def test_perplexity_over_seeds_is_a_geometric_mean():
    found = perplexity_over([run(0, 1, perplexity=2.0), run(1, 1, perplexity=8.0)])
    assert found is not None
    assert found.value == pytest.approx(4.0)
    half = 12.706204736432095 * math.log(2)  # Student's t with one degree of freedom; s / sqrt(2).
    assert found.high == pytest.approx(4 * math.exp(half))
    assert perplexity_over([run(0, 1, perplexity=3.0)]).value == pytest.approx(3.0)  # type: ignore[union-attr]
    assert perplexity_over([run(0, 1, perplexity=3.0), run(1, 1)]) is None
    assert perplexity_over([]) is None
