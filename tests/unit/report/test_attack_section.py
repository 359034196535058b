"""Attacks on the page and in the terminal: the headline, what has no bound, what was not asked."""

import re
from html import unescape

import pytest
from rich.console import Console

from holdfast.evaluation.metrics import Outcome
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.standing import Standing
from holdfast.report.answers import answers
from holdfast.report.figures.attacks import attack_picture
from holdfast.report.page import render
from holdfast.report.sections.loop.attack_lines import lines
from holdfast.report.terminal import render_table
from holdfast.results.redteam.made import red_team_of
from holdfast.results.result import RunResult
from tests.synthetic_result import synthetic_result

ITEMS = [f"h-{n}" for n in range(10)]
HARM = Standing.HARMFUL, Outcome.HARMFUL_CORRECT
HELD = Standing.HELD, Outcome.REFUSED
OPEN = Standing.UNCLEAR, Outcome.EMPTY


def seen(attack, harm, unclear=0, variants=None, **rest):
    """Answers of an attack of which the first ``harm`` are harmful, and the last unclear."""
    row = [HARM] * harm + [HELD] * (10 - harm - unclear) + [OPEN] * unclear
    table = dict(zip(ITEMS, row, strict=True))
    return AttackAnswers(attack, {"j": dict.fromkeys(variants or [attack], table)}, **rest)


def result(found, missing=None):
    team = red_team_of(
        found, categories={item: f"kind {n % 2}" for n, item in enumerate(ITEMS)},
        missing=missing or {}, prompts_sha256="a" * 64, seed=0,
    )  # fmt: skip
    return synthetic_result().model_copy(update={"red_team": team})


ALL = [
    seen("direct", 0),
    seen("prefill", 7),
    seen("task_wrap", 3, unclear=2),
    seen("template", 0, variants=["other", "none"], not_run={"no_system": "why not"}),
    seen("persona", 0, variants=["obedience", "identity"]),
    seen("best_of_n", 2, variants=["1", "2"]),
    seen("proximal", 4, search={"lead_before": 1.0, "lead_after": -1.0, "leads": 30.0}),
]


def plain(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture(scope="module")
def told():
    return plain(render(result(ALL)))


def test_the_headline_is_the_union_of_what_ran(told):
    """Seven are harmful under one attack or another; two more could not be read under one."""
    assert "70% of 10 questions broken by any of direct, prefill, task_wrap, template" in told
    said = "7 of 10 harmful questions are answered (any of direct, prefill, task_wrap"
    assert any(said in one and "2 more could not be read" in one for one in answers(result(ALL)))
    assert "not run: 4 another template, no system: why not" in told


def test_a_search_has_no_bound_and_a_law_is_no_measurement(told):
    assert "7 close to the question 40% no bound" in told
    assert "from 1.00 to -1.00 nats per token in 30 looks a question" in told
    assert "Best of N by N: 1: 20%, 2: 20%. No power law fits." in told


def test_each_attack_has_its_interval_and_its_ways(told):
    assert "2 prefilled answer 70% 35–93 70% 0 10" in told
    assert "3 in the user's task 30% 6.7–81 30% 2 10" in told
    assert "4 another template other: 0% none: 0% 0% 0–31" in told
    assert "kind 0 4 of 5 0 of 5 4 of 5" in told


def test_the_terminal_says_the_same():
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(render_table(result(ALL, {"persona": "no words"})))
    text = " ".join(console.export_text().split())
    assert "Under attack: 10 harmful questions" in text
    assert "not run: 5 persona: no words" in text


def test_a_result_without_attacks_says_nothing_of_them():
    assert "Under attack" not in plain(render(synthetic_result()))


def test_a_result_keeps_its_attacks(tmp_path):
    given = result(ALL)
    assert RunResult.load(given.save(tmp_path / "r.json")).red_team == given.red_team
    assert given.red_team.draws.any_of == {1: 2, 2: 2}
    assert [one["attack"] for one in given.red_team.counts()][-2:] == [
        "best_of_n", given.red_team.union_name
    ]  # fmt: skip


def test_what_only_reads_like_language_is_not_called_right():
    """A judge of refusals sees no more than that; the terminal said so, and the page said right."""
    one = result(ALL)
    words = {"content": "readable", "garbled": "unreadable"}
    arms = [
        arm.model_copy(update={"runs": [r.model_copy(update={"words": words}) for r in arm.runs]})
        for arm in one.arms
    ]
    page = render(one.model_copy(update={"arms": arms}))
    assert "Of it right" not in page
    assert page.count('data-label="Of it readable"') == len(ALL) + 1
    assert "Of it right" in plain(render(one))


def test_the_words_of_the_picture_stand_within_it():
    """Beside the names of seven attacks the axis is narrow, and its label was cut off."""
    picture = attack_picture(lines(result(ALL).red_team), "attacks")
    assert picture is not None
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', picture)[1])
    assert "any of direct, prefill, task_wrap," in picture
    label = re.search(r'<text style="([^"]*)" x="([\d.]+)"[^>]*>questions answered', picture)
    assert "text-anchor: end" in label[1]
    assert float(label[2]) <= width


def test_too_many_kinds_of_harm_for_a_table_are_counted():
    """Beyond 24 kinds the table was left out without a word."""
    one = result(ALL)
    first, *rest = one.red_team.attacks
    [some, *_] = first.categories.values()
    many = first.model_copy(update={"categories": {f"kind {n}": some for n in range(30)}})
    team = one.red_team.model_copy(update={"attacks": [many, *rest]})
    text = plain(render(one.model_copy(update={"red_team": team})))
    assert "30 kinds of harm are too many" in text or "32 kinds of harm are too many" in text
    assert "too many for a table" not in plain(render(one))


@pytest.mark.parametrize(("read", "said"), [(2, "direct, prefill"), (1, "direct")])
def test_any_of_them_by_a_second_judge_names_those_that_it_read(read, said):
    """It said any of 1-5 where two of them ran."""
    found = [seen("direct", 1), seen("prefill", 2)]
    for one in found[:read]:
        one.seen["second"] = one.seen["j"]
    page = plain(render(result(found)))
    assert f"any of {said}:" in page
    assert "any of 1-5" not in page
