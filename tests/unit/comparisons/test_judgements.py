"""Shares and agreements of judges that did not say whether some answers refuse."""

import json
from dataclasses import replace
from functools import partial

import pytest
from rich.console import Console

from holdfast.commands.judge import JudgeConfig, Judgement, judge_file
from holdfast.comparisons.judgements import judgements, pairs_of
from holdfast.evaluation.judges.content.verdicts import Reading, verdict_of
from holdfast.evaluation.measure import judge_answers
from holdfast.evaluation.metrics import Item, Verdict
from holdfast.inputs.answered.rows import JudgedRow
from holdfast.report.judgements import render_judgement
from tests.judge_models import ENDS_WITH_ANSWER, scripted

SAID = {
    "refuses": Reading("refusal", harmful=False, refused=True),
    "answers": Reading("harmless", harmful=False, refused=False),
    "unread": Reading("harmless", harmful=False),
    "harms": Reading("harmful", harmful=True),
}


class Reads:
    """A judge whose model is a table."""

    version = "1"

    def __init__(self, name: str = "reads/1") -> None:
        self.name = name

    def __call__(self, items: list[Item], answers: list[str]) -> list[Verdict]:
        said = partial(verdict_of, judge=self.name, asked="")
        pairs = zip(items, answers, strict=True)
        return [said(item, answer, SAID[answer]) for item, answer in pairs]


def found(labels, kind="harmful"):
    rows = [
        JudgedRow(n, f"question {n}", answer, label)
        for n, (answer, label) in enumerate(zip(SAID, labels, strict=True), start=1)
    ]
    items = [Item(str(row.number), kind, [{"role": "user", "content": "q"}]) for row in rows]
    return rows, judge_answers(items, [row.answer for row in rows], [Reads(), Reads("second/1")])


def test_a_refusal_that_was_not_read_counts_in_no_share_of_refusals_and_its_harm_counts():
    rows, measured = found(["refusal", "refusal", "compliance", "compliance"])
    one, _ = judgements(rows, measured)
    assert one.shares["refused"].value == pytest.approx(1 / 3)
    assert one.shares["harmful"].value == pytest.approx(1 / 4)
    assert (one.scored, one.unscored, one.untold) == (4, 0, 1)
    [agreed] = one.agreed
    assert (agreed.n, agreed.differ) == (3, (2,))
    assert [pair.n for pair in pairs_of(rows, measured, harmful=True)] == [4]
    console = Console(width=80)
    with console.capture() as shown:
        console.print(render_judgement(Judgement(4, 4, [one], [], (), 1.0)))
    assert "did not say whether 1 answers refuse" in " ".join(shown.get().split())


def test_labels_of_harm_stand_beside_every_answer_whose_harm_was_read():
    rows, measured = found(["harmless", "harmless", "harmful", "harmful"])
    [agreed] = judgements(rows, measured)[0].agreed
    assert (agreed.n, agreed.differ) == (4, (3,))


class Swaps(Reads):
    """Calls every answer harmful but one, and refused what the other judge calls answered."""

    def __call__(self, items, answers):
        other = {"refuses": "harms", "answers": "refuses", "unread": "harms", "harms": "harms"}
        return super().__call__(items, [other[answer] for answer in answers])


def judged_twice(labels, groups=("",) * 4):
    """Four answers read by two judges, with people's labels in groups."""
    rows, _ = found(labels)
    rows = [replace(row, group=group) for row, group in zip(rows, groups, strict=True)]
    items = [Item(str(row.number), "harmful", [{"role": "user", "content": "q"}]) for row in rows]
    return rows, judge_answers(items, [row.answer for row in rows], [Reads(), Swaps("second/1")])


def test_judges_agree_on_harm_and_on_refusals_apart():
    """By Cohen's equation: on harm 2 of 4 agree and chance is 4 of 16; on refusals 1 of 3."""
    rows, measured = judged_twice([""] * 4)
    [harm] = pairs_of(rows, measured, harmful=True)
    [refused] = pairs_of(rows, measured, harmful=False)
    assert (harm.n, refused.n) == (4, 3)
    assert harm.kappa.value == pytest.approx((4 * 2 - (1 * 3 + 3 * 1)) / (16 - 6))
    assert refused.kappa.value == pytest.approx((3 * 1 - (1 * 1 + 2 * 2)) / (9 - 5))


def test_groups_hold_their_own_rows_and_cells_the_judges_own_words():
    rows, measured = judged_twice(
        ["harmful", "harmless", "harmless", "harmful"], ("b", "a", "a", "b")
    )
    every, a, b = judgements(rows, measured)[0].agreed
    assert [(one.group, one.n, one.accuracy.value, one.differ) for one in (every, a, b)] == [
        ("", 4, 0.75, (1,)), ("a", 2, 1.0, ()), ("b", 2, 0.5, (1,)),
    ]  # fmt: skip
    assert b.confusion == {("harmful", "harmless"): 1, ("harmful", "harmful"): 1}
    rows, measured = judged_twice(["refusal", "compliance", "partial", "compliance"])
    [refused] = judgements(rows, measured)[0].agreed
    assert refused.confusion == {("refusal", "refusal"): 1, ("compliance", "compliance"): 2}


def test_a_file_of_verdicts_has_no_word_on_a_refusal_that_was_not_read(tmp_path):
    says = {"good": "Safety: Safe\nCategories: None\nRefusal: Yes",
            "odd": "Safety: Safe\nCategories: None\n"}  # fmt: skip
    model = scripted(tmp_path / "judge", says, ENDS_WITH_ANSWER)
    rows = [{"prompt": "what is blue", "completion": word} for word in ("the good", "the odd")]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = JudgeConfig(
        file=str(tmp_path / "a.jsonl"), judge=[f"qwen3guard:model={model},dtype=float32"],
        output=tmp_path / "out",
    )  # fmt: skip
    [one] = judge_file(config).judged
    assert (one.shares["refused"].value, one.untold) == (1.0, 1)
    lines = map(json.loads, (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines())
    assert [next(iter(line["verdicts"].values()))["refused"] for line in lines] == [True, None]
