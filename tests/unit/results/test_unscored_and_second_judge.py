"""Unscored answers are in no share, and a second judge stands beside the first."""

import json

import pytest

from holdfast.comparisons.two_results import compare_results
from holdfast.errors import InputError
from holdfast.evaluation import Item, Verdict, judge_answers
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.evaluation.metrics import NOT_ASKED, NOT_JUDGED, Outcome
from holdfast.results.agreement import disagreements
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult

ITEMS = [
    Item(f"{kind}-{n}", kind, [{"role": "user", "content": f"question {n}"}])
    for kind in ("harmful", "safe")
    for n in range(10)
]


class Scripted:
    """A judge that refuses, helps or cannot tell as a text says, one letter for each item."""

    version = "1"

    def __init__(self, script, name="scripted/1", why="no verdict", template_hash=""):
        self.script, self.name, self.why, self.hash = script, name, why, template_hash

    def __call__(self, items, answers):
        return [self._verdict(item) for item, _ in zip(items, answers, strict=True)]

    def _verdict(self, item):
        letter = self.script[ITEMS.index(item) % len(self.script)]
        if letter == "?":
            return Verdict.unscored(self.name, self.why, template_hash=self.hash, raw="gar\nbage")
        refused = letter == "r"
        harmful = item.kind == "harmful" and not refused
        outcome = Outcome.HARMFUL_CORRECT if harmful else Outcome.HELPFUL
        return Verdict(
            Outcome.REFUSED if refused else outcome, harmful, refused, True, False, float(harmful),
            self.name, label=letter, template_hash=self.hash,
        )  # fmt: skip


def measured(*judges, answers=("an answer",) * 20):
    return judge_answers(ITEMS, list(answers), judges)


def run(*judges, seed=0):
    return SeedRun.of(seed, measured(*judges))


def test_an_unscored_answer_counts_in_no_share_and_its_number_is_kept():
    found = measured(Scripted("rhhhhhhh??" + "rrhhhhhhh?"))
    hs, refusals = found.shares["hs"], found.shares["over_refusal"]
    assert (hs.value, hs.n) == (7 / 8, 8)
    assert (refusals.value, refusals.n) == (2 / 9, 9)
    assert found.counts["harmful"][Outcome.UNSCORED] == 2
    kept = SeedRun.of(0, found)
    assert kept.unscored == {"harmful-8", "harmful-9", "safe-9"}
    assert kept.answers[8].raw == "gar\nbage"
    assert kept.answers[8].label == "no verdict"


def test_where_nothing_is_scored_there_is_no_figure():
    found = run(Scripted("?"))
    assert found.shares == {}
    assert Arm.of("none", [found]).figures == {}
    assert found.hits("hs") == {}


def test_runs_are_paired_on_the_answers_that_are_scored_in_all():
    plain = Arm.of("none", [run(Scripted("?hhhhhhhhh")), run(Scripted("h?hhhhhhhh"), seed=1)])
    assert plain.figures["hs"].prompts == 8
    ours = Arm.of("panacea", [run(Scripted("hh?rrrrrrr")), run(Scripted("hhrrrrrrrr"), seed=1)])
    found = ours.compared_with(plain).versus_plain["hs"]
    assert found.value == -1.0, "items 0, 1 and 2 are unscored somewhere"


def test_other_questions_are_still_refused():
    other = judge_answers(ITEMS[1:], ["x"] * 19, Scripted("h"))
    with pytest.raises(InputError, match="compared on the same items"):
        Arm.of("none", [run(Scripted("h")), SeedRun.of(1, other)])


def test_an_empty_answer_is_no_answer_but_for_kinds_that_are_not_judged():
    found = measured(Scripted("?", why=NOT_JUDGED), answers=["", *["x"] * 19])
    assert found.verdicts[0].outcome == Outcome.UNSCORED
    found = measured(Scripted("?"), answers=["", *["x"] * 19])
    assert found.verdicts[0].outcome == Outcome.EMPTY


def test_a_judge_that_gave_up_marks_the_measurement_partial():
    why = f"{NOT_ASKED}: gave up after 3 failures (HTTP 429)"
    assert run(Scripted("hh????????", why=why)).partial == why
    assert run(Scripted("hh????????")).partial == ""


def test_two_judges_are_kept_beside_each_other_and_never_averaged(tmp_path):
    first, second = Scripted("rrrrrhhhhh"), Scripted("rrrrrrrhh?", "other/1", template_hash="ab")
    one = run(first, second)
    assert one.judge == "scripted/1"
    assert one.shares["hs"].value == 0.5
    assert one.shares == run(first).shares
    [reading] = one.readings
    assert (reading.judge, reading.template_hash) == ("other/1", "ab")
    assert reading.shares["hs"].value == pytest.approx(2 / 9)
    result = RunResult.of("evaluate", [Arm.of("before", [one])], model="m")
    harmful, safe = result.agreement
    assert (harmful.kind, harmful.n, harmful.unscored) == ("harmful", 9, 1)
    assert (harmful.both, harmful.first_only, harmful.second_only) == (2, 2, 0)
    assert harmful.kappa == pytest.approx(0.526315, abs=1e-5)
    low, middle, high = harmful.low, harmful.kappa, harmful.high
    assert low is not None
    assert middle is not None
    assert high is not None
    assert low <= middle <= high
    assert (safe.figure, safe.both, safe.second_only) == ("over_refusal", 5, 2)
    assert disagreements(one, reading, "harmful") == ["harmful-5", "harmful-6"]
    assert harmful.is_low
    path = result.save(tmp_path / "result.json")
    assert RunResult.load(path) == result
    bare = result.without_answers()
    assert not bare.arms[0].runs[0].readings[0].answers
    assert bare.agreement == result.agreement


def test_agreement_is_told_for_all_arms_and_for_each():
    arms = [Arm.of(n, [run(Scripted(s), Scripted("rh", "b/1"))]) for n, s in
            (("before", "rrrrrrrrrr"), ("none", "rh"))]  # fmt: skip
    found = {(a.arm, a.kind): a for a in RunResult.of("tune", arms).agreement}
    assert set(found) == {(a, k) for a in ("", "before", "none") for k in ("harmful", "safe")}
    assert found["none", "harmful"].kappa == 1
    assert found["before", "harmful"].kappa == 0
    assert found["", "harmful"].n == 20


def test_a_single_judge_writes_what_it_always_wrote():
    one = SeedRun.of(0, judge_answers(ITEMS, ["I cannot"] * 20, RefusalPhrases()))
    written = json.loads(one.model_dump_json())
    new = {"readings", "template_hash", "partial"}
    assert not new & set(written)
    assert set(written["answers"][0]) == {
        "id", "kind", "prompt", "answer", "outcome", "refused", "correct"
    }  # fmt: skip


def test_what_a_judge_wrote_at_length_is_redacted():
    verdict = Verdict.unscored("j/1", "no verdict", raw="word " * 100)
    judge = Scripted("h")
    judge._verdict = lambda _item: verdict
    verdict = Verdict.unscored("scripted/1", "no verdict", raw="word " * 100)
    kept = run(judge).answers[0].raw
    assert kept == "… [redacted, 500 characters]"


def test_results_of_other_templates_have_no_differences():
    def result(hash_):
        return RunResult.of("tune", [Arm.of("none", [run(Scripted("rh", template_hash=hash_))])])

    same, other = (compare_results(result("aa"), result(b)) for b in ("aa", "bb"))
    assert same.matches[0].gaps[0].difference is not None
    assert other.matches[0].gaps[0].difference is None
    assert any("template aa) and scripted/1 (template bb)" in line for line in other.warnings)
