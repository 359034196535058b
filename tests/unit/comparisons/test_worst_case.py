"""The bench's comparisons: everyone over the same attacks, computed while answers are there."""

import csv
import json

import pytest

from holdfast.comparisons.exports import write_bench_tables
from holdfast.comparisons.worst_case import summarize
from holdfast.results.attacks import apart, attack_text, common_attacks, short, varied
from holdfast.results.records import Answer, Arm, Attack, SeedRun
from holdfast.results.result import RunResult
from tests.synthetic_bench import synthetic_bench


def attack(p=0.1, learning_rate=2e-4, steps=100, rows=400):
    return Attack(
        scenario="harmful_mix", p=p, learning_rate=learning_rate, steps=steps,
        epochs=steps / 50, rows=rows,
    )  # fmt: skip


def run(seed, hs=0, fa=10, n=10, prefix="q"):
    """A run with ``hs`` harmful answers and ``fa`` right ones of ``n`` each."""
    harmful = [("harmful", "harmful-correct" if i < hs else "refused", False) for i in range(n)]
    task = [("task", "helpful", i < fa) for i in range(n)]
    answers = [
        Answer(id=f"{prefix}-{kind}-{i}", kind=kind, prompt="zor ?", answer="mip", outcome=outcome,
               refused=outcome == "refused", correct=correct)
        for i, (kind, outcome, correct) in enumerate([*harmful, *task])
    ]  # fmt: skip
    share = {"low": 0.0, "high": 1.0, "n": n}
    shares = {"hs": {"value": hs / n, **share}, "fa": {"value": fa / n, **share}}
    return SeedRun(seed=seed, answers=answers, shares=shares, seconds=1.0 + hs)


def arm(defense, where, hs, fa=10, *, seeds=(0, 1), prefix="q", **rest):
    runs = [run(seed, hs, fa, prefix=prefix) for seed in seeds]
    return Arm.of(defense, runs, scenario="harmful_mix", p=where.p, attack=where, **rest)


MILD, MIDDLE, STRONG = attack(0.05), attack(0.1), attack(0.3)


def test_the_worst_case_is_taken_over_the_attacks_that_all_arms_met():
    """Planted: "ml_lr" never met the strongest attack, where everybody else is worst."""
    arms = [
        *(arm("none", where, hs) for where, hs in ((MILD, 2), (MIDDLE, 5), (STRONG, 9))),
        *(arm("swat", where, hs) for where, hs in ((MILD, 1), (MIDDLE, 3), (STRONG, 6))),
        *(arm("panacea", where, hs) for where, hs in ((MILD, 1), (MIDDLE, 2), (STRONG, 4))),
        *(arm("ml_lr", where, hs) for where, hs in ((MILD, 0), (MIDDLE, 1))),
    ]
    (table,) = summarize(arms).worst
    worst = {row.defense: (row.hs.value, row.attack) for row in table.rows}
    assert table.attacks == [MILD, MIDDLE, STRONG]
    assert worst == {"none": (0.9, STRONG), "swat": (0.6, STRONG), "panacea": (0.4, STRONG)}
    assert [(one.defense, one.why) for one in table.left_out] == [
        ("ml_lr", "ran under 2 of 3 attacks")
    ]


def unscored(made, seed, kind="harmful", *, of=slice(None)):
    """The arm with answers of one seed and kind that its judge could not score."""
    runs = []
    for one in made.runs:
        lost = [a.id for a in one.answers if a.kind == kind][of] if one.seed == seed else []
        answers = [
            a.model_copy(update={"outcome": "unscored"}) if a.id in lost else a for a in one.answers
        ]
        runs.append(one.model_copy(update={"answers": answers}))
    return Arm.of(**(made.model_dump(exclude={"runs", "figures"}) | {"runs": runs}))


def arms_of_two_attacks():
    return {
        (name, where): arm(name, where, hs, fa, **more)
        for name, fa, more in (
            ("none", 10, {}),
            ("swat(rho=1)", 8, {"family": "swat", "strength": 1.0}),
            ("swat(rho=2)", 7, {"family": "swat", "strength": 2.0}),
        )
        for where, hs in ((MILD, 2), (STRONG, 5))
    }


@pytest.mark.parametrize("kind", ["harmful", "task"])
@pytest.mark.parametrize("name", ["none", "swat(rho=1)"])
def test_a_seed_whose_judge_gave_up_takes_no_other_arm_down(name, kind):
    """The whole bench ended at "HS needs ... at least one of each ... [(2, 0)]"."""
    arms = arms_of_two_attacks()
    arms[name, STRONG] = unscored(arms[name, STRONG], 0, kind)
    found = summarize(list(arms.values()))
    (table,) = found.worst
    if kind == "task":
        rows = {row.defense: row for row in table.rows}
        assert len(rows) == 3
        assert rows[name].fa_worst is None
        assert all(row.fa_worst for row in table.rows if row.defense != name)
    elif name == "none":  # What plain fine-tuning was not scored under is compared with nothing.
        assert table.attacks == [MILD]
        assert len(table.rows) == 3
    else:
        told = [(one.defense, one.why) for one in table.left_out]
        assert told == [(name, "was scored under 1 of 2 attacks")]
        assert [row.defense for row in table.rows] == ["none", "swat(rho=2)"]
        assert found.hardest is not None
        assert list(found.hardest.third) == ["swat(rho=2)"]


def test_arms_that_share_no_scored_question_are_not_compared():
    """Each has answers of its own; none was scored for all."""
    half, other = slice(5, 10), slice(0, 5)
    arms = arms_of_two_attacks()
    name = "swat(rho=1)"
    arms["none", STRONG] = unscored(arms["none", STRONG], 0, of=half)
    arms[name, STRONG] = unscored(arms[name, STRONG], 1, of=other)
    arms[name, MILD] = unscored(arms[name, MILD], 0, of=half)
    found = summarize(list(arms.values()))
    (table,) = found.worst
    told = [(one.defense, one.why) for one in table.left_out]
    assert told == [(name, "no question was scored under every attack")]
    assert [front.attack for front in found.fronts] == [MILD]
    assert found.hardest is not None
    assert list(found.hardest.third) == ["swat(rho=2)"]


def test_the_worst_of_a_task_is_the_least_learned_with_ends_to_both_sides():
    """Its low end is that of the most missed: each attack by itself, and no less than any has."""
    learned = ((MILD, 9), (MIDDLE, 4), (STRONG, 7))
    ((row,),) = (t.rows for t in summarize([arm("none", w, 2, fa) for w, fa in learned]).worst)
    assert row.fa_worst is not None
    assert row.fa_worst.value == pytest.approx(0.4)
    assert 0 < row.fa_worst.low < 0.4 < row.fa_worst.high < 1
    least = arm("none", MIDDLE, 2, 4).figures["fa"]
    assert row.fa_worst.low == pytest.approx(least.low)
    assert row.fa_worst.high > least.high, "the choice among three attacks is paid for"
    assert row.over_refusal_worst is None


def test_many_arms_of_few_attacks_move_the_comparison_to_what_they_share():
    few = {f"arm{n}": [MILD, MIDDLE] for n in range(9)}
    attacks, compared = common_attacks({"none": [MILD, MIDDLE, STRONG], **few})
    assert attacks == [MILD, MIDDLE]
    assert len(compared) == 10


def test_a_sweep_of_strength_under_one_attack_does_not_make_a_worst_case_of_one():
    sweep = {f"arm{n}": [MIDDLE] for n in range(50)}
    met = {"none": [MILD, MIDDLE, STRONG], "swat": [MILD, MIDDLE, STRONG], **sweep}
    attacks, compared = common_attacks(met)
    assert attacks == [MILD, MIDDLE, STRONG]
    assert compared == ["none", "swat"]


def test_only_attacks_on_plain_fine_tuning_count():
    attacks, compared = common_attacks({"none": [MILD], "a": [MIDDLE, STRONG], "b": [MILD, STRONG]})
    assert attacks == [MILD]
    assert compared == ["none", "b"]
    assert common_attacks({}) == ([], [])
    assert common_attacks({"none": [MILD], "a": [STRONG]}) == ([MILD], ["none"])


def test_a_worst_case_uses_the_seeds_of_every_attack_and_says_how_many():
    arms = [arm("none", MILD, 1), arm("none", STRONG, 5, seeds=(1, 2, 3))]
    ((row,),) = [table.rows for table in summarize(arms).worst]
    assert (row.seeds, row.hs.value, row.hs_by_seed) == (1, 0.5, [0.5])
    apart = [arm("none", MILD, 1, seeds=(0,)), arm("none", STRONG, 5, seeds=(1,))]
    assert summarize(apart).worst == []


def test_other_questions_are_not_compared():
    arms = [
        *(arm("none", where, 3) for where in (MILD, STRONG)),
        arm("swat", MILD, 3), arm("swat", STRONG, 3, prefix="other"),
    ]  # fmt: skip
    (table,) = summarize(arms).worst
    assert [row.defense for row in table.rows] == ["none"]
    assert table.left_out[0].why == "answered other questions under some attacks"


def test_costs_are_relative_to_plain_under_the_same_attack_and_seed():
    arms = [
        arm("none", MILD, 1), arm("none", STRONG, 9), arm("swat", MILD, 3), arm("swat", STRONG, 4)
    ]  # fmt: skip
    (table,) = summarize(arms).worst
    swat = next(row for row in table.rows if row.defense == "swat")
    assert swat.relative_time == pytest.approx((4 / 2 + 5 / 10) / 2)  # seconds are 1 + hs
    assert swat.relative_memory is None


def test_a_family_starts_at_plain_and_rises_in_strength():
    family = {"family": "panacea", "control": False}
    arms = [
        arm("none", MIDDLE, 8, 10),
        arm("panacea(rho=2)", MIDDLE, 1, 5, strength=2.0, **family),
        arm("panacea(rho=1)", MIDDLE, 4, 8, strength=1.0, **family),
        arm("swat", MIDDLE, 9, 9),
    ]
    (front,) = summarize(arms).fronts
    assert front.curves == {"panacea": ["none", "panacea(rho=1)", "panacea(rho=2)"]}
    assert {row.defense: row.on_front for row in front.rows} == {
        "none": True, "panacea(rho=2)": True, "panacea(rho=1)": True, "swat": False
    }  # fmt: skip
    # HS falls by 2 of 10 for each 1 of 10 in accuracy: 0.8 - 2 * 0.03 at three points below.
    at_three = next(row for row in front.equal if row.below == 0.03)
    assert at_three.hs.value == pytest.approx(0.74)


def test_the_figures_of_a_front_are_of_the_seeds_that_it_names():
    """Plain ran with seed 0 alone so far: a place by one seed stood beside figures of two."""
    family = {"family": "panacea", "control": False}
    better = Arm.of(
        "panacea(rho=1)", [run(0, 2, 9), run(1, 10, 1)], scenario="harmful_mix", p=MIDDLE.p,
        attack=MIDDLE, strength=1.0, **family,
    )  # fmt: skip
    (front,) = summarize([arm("none", MIDDLE, 4, 9, seeds=(0,)), better]).fronts
    plain, ours = front.rows
    assert front.seeds == [0]
    assert (plain.on_front, ours.on_front) == (False, True)
    assert (ours.hs.value, ours.fa.value) == (0.2, 0.9)


def test_a_family_whose_strength_runs_downward_starts_where_it_is_off():
    family = {"family": "ml_lr", "control": False}  # off at 1
    arms = [
        arm("none", MIDDLE, 8),
        arm("ml_lr(ratio=0.1)", MIDDLE, 2, 9, strength=0.1, **family),
        arm("ml_lr(ratio=1)", MIDDLE, 8, strength=1.0, **family),
        arm("ml_lr(ratio=0.5)", MIDDLE, 5, strength=0.5, **family),
    ]
    (front,) = summarize(arms).fronts
    assert front.curves["ml_lr"] == ["ml_lr(ratio=1)", "ml_lr(ratio=0.5)", "ml_lr(ratio=0.1)"]


def test_a_published_result_keeps_its_comparisons(tmp_path):
    result = synthetic_bench(2, 6)
    kept = RunResult.load(result.without_answers().save(tmp_path / "result.json"))
    assert kept.bench == result.bench
    assert summarize(kept.arms).worst == []


def test_the_tables_for_plotting_say_the_same(tmp_path):
    summary = synthetic_bench(2, 6).bench
    write_bench_tables(summary, tmp_path)
    worst = list(csv.DictReader((tmp_path / "worst_case.csv").open()))
    rows = [row for table in summary.worst for row in table.rows]
    assert [(row["defense"], float(row["hs"])) for row in worst] == [
        (row.defense, row.hs.value) for row in rows
    ]
    assert list(worst[0])[-2:] == ["relative_time", "relative_memory"]
    fronts = list(csv.DictReader((tmp_path / "fronts.csv").open()))
    assert {row["on_front"] for row in fronts} == {"True", "False"}
    equal = list(csv.DictReader((tmp_path / "equal_accuracy.csv").open()))
    assert {row["below_plain"] for row in equal} == {"0.01", "0.03"}
    assert json.loads((tmp_path / "comparisons.json").read_text()) == summary.model_dump()


@pytest.mark.parametrize(
    ("number", "text"),
    [(2.3e-4, "2.3e-4"), (1e-3, "1e-3"), (0.05, "0.05"), (1.904, "1.9"), (120, "120"), (0.0, "0")],
)
def test_numbers_are_short(number, text):
    assert short(number) == text


def test_an_attack_is_told_by_what_varies():
    knobs = varied([MILD, STRONG])
    assert knobs == ["p"]
    assert attack_text(STRONG, knobs) == "30% harmful rows"
    full = "harmful mix: 30% harmful rows, learning rate 2e-4, 2 epochs, 400 rows"
    assert attack_text(STRONG, named=True) == full
    assert attack_text(STRONG, []) == "harmful mix"
    fast = attack(0.1, learning_rate=4e-4)
    assert apart(fast, [MILD, MIDDLE, attack(0.1, steps=200), fast]) == "learning rate 4e-4"
    assert apart(MIDDLE, [MILD, MIDDLE, MIDDLE]) == "10% harmful rows"
    assert apart(MILD, [MILD]) == ""
