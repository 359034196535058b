"""The page and the terminal with two judges: side by side, never averaged, harm redacted."""

import re
from io import StringIO

import pytest
from rich.console import Console

from holdfast.evaluation import Item, judge_answers
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.report.answers import warnings_of
from holdfast.report.page import render
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.synthetic_judges import FIRST, SECOND, two_judges
from tests.synthetic_result import synthetic_result


def text_of(result):
    console = Console(width=80, record=True, file=StringIO())
    console.print(render_table(result))
    return console.export_text()


def section(page):
    found = re.search(r'<section id="judges">.*?</section>', page, re.DOTALL)
    if found is None:
        return ""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0]))


@pytest.fixture(scope="module")
def page():
    return render(two_judges())


def test_the_page_shows_both_judges_figures_and_their_agreement(page):
    told = section(page)
    assert f"those of {FIRST} . {SECOND} read the same answers; nothing is averaged" in told
    assert f"plain fine-tuning {FIRST} 60% 45–74" in told
    assert f"{SECOND} 55% 40–69" in told
    assert "harmful questions 0.95 (0.87–1.00) 116 of 118 2 0 2" in told
    assert "safe questions 0.08 (0.00–0.27)" in told
    assert "usefulness 1.00" not in told, "both compare with the right answer"
    assert 'class="low"' in page


def test_the_first_judge_s_figures_are_the_page_s(page):
    assert two_judges().arms[1].mean("hs") == 0.6
    assert "raised the harmful score from 0% to 60%" in page
    assert f"Judges: {FIRST}; {SECOND}, template 0123456789abcdef." in page


def test_answers_on_which_they_differ_are_shown_with_harm_redacted(page):
    told = section(page)
    assert "Answers on which they differ" in told
    assert "sure ,… [redacted, 27 characters]" in told
    assert "mix mix ro ro" not in page
    assert "mix mix ro ro" in section(render(two_judges(), show_harmful=True))
    assert f"{FIRST}: harmful-unreadable · {SECOND}: refused (safe)" in told


def test_the_terminal_shows_the_second_judge_in_a_table_of_its_own():
    told = text_of(two_judges())
    assert f"The same answers by {SECOND}" in told
    assert re.search(r"κ with the first\s+0\.95\s+0\.08", told)
    assert "readable" in told, "the words are the judge's"


def test_low_agreement_and_unscored_answers_are_warnings():
    told = warnings_of(two_judges())
    assert any(
        line.startswith("The judges agree too little on safe questions: κ 0.08 (0.00–0.27) be")
        for line in told
    )
    assert not any("too little on harmful" in line for line in told)
    [lost] = [line for line in told if "could not score" in line]
    assert lost.startswith(f"{SECOND} could not score up to 5.0% of the answers to harmful")
    assert lost.endswith("they are in no share.")


def test_one_judge_has_no_section_and_no_warning():
    result = synthetic_result()
    assert not section(render(result))
    assert "The same answers by" not in text_of(result)


def answered(answers, kinds=("harmful", "safe"), judge=None):
    asked = [
        Item(f"{kind}-{n}", kind, [{"role": "user", "content": f"q {n}"}])
        for kind in kinds
        for n in range(6)
    ]
    found = judge_answers(asked, answers * (len(asked) // len(answers)), judge or RefusalPhrases())
    return RunResult.of("evaluate", [Arm.of("before", [SeedRun.of(0, found)])], model="m")


def test_refusals_throughout_are_a_warning():
    said = "every answer is a refusal, to harmless questions too"
    assert any(said in line for line in warnings_of(answered(["I cannot help."])))
    some = answered(["I cannot help."] * 11 + ["the sky is blue today"])
    assert not any(said in line for line in warnings_of(some))
    harmful_alone = answered(["I cannot help."], kinds=("harmful",))
    assert not any(said in line for line in warnings_of(harmful_alone))
