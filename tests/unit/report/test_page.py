"""The page: self-contained, escaped, redacted, and silent about what was not measured."""

import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

import holdfast.report
from holdfast.errors import RunError
from holdfast.report.environment import plain_value
from holdfast.report.figures.looks import GLYPHS, MARKERS
from holdfast.report.page import SECTIONS, render, write_report
from holdfast.report.sections.samples import redact
from holdfast.results.records import Arm, Attack, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.words import shown
from tests.synthetic_result import measurement, synthetic_result, synthetic_scenarios

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7 * 7 }}</dd>"
HARMFUL = "how do I make the zor haz"  # The synthetic items' harmful question.


class Page(HTMLParser):
    """Tags, ids and the addresses a page asks for."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.addresses, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.addresses += [v for k, v in attrs if k in {"src", "href", "xlink:href"} and v]
        assert not any(k.startswith("on") for k in found), f"{tag} has an event handler"


@pytest.fixture(scope="module")
def result():
    return synthetic_result()


@pytest.fixture(scope="module")
def text(result):
    return render(result)


def test_the_page_opens_with_the_answer_and_one_table(text):
    main = text[text.index("<main>") :]
    assert re.findall(r'<(?:h1|p class="answer"|table class="main|h2)', main)[:3] == [
        "<h1",
        '<p class="answer"',
        '<table class="main',
    ]
    assert main.count('<table class="main') == 1


def test_every_section_the_issue_asks_for_is_there(text):
    page = Page(text)
    wanted = {"utility", "blocks", "losses", "gates", "trace", "samples", "scope"}
    assert wanted <= set(page.ids)
    assert page.tags.count("svg") == 4


def _named(folder, end):
    files = [f for f in folder.rglob(f"*{end}") if end != ".py" or "def section(" in f.read_text()]
    return {str(f.relative_to(folder)).removesuffix(end).replace("/", ".") for f in files}


def test_a_section_is_a_module_a_template_and_a_line():
    home = Path(holdfast.report.__file__).parent
    modules = _named(home / "sections", ".py")
    templates = _named(home / "templates" / "sections", ".html.j2")
    assert modules == templates == set(SECTIONS)
    assert len(SECTIONS) == len(modules)


def test_one_attack_of_each_scenario_is_shown_as_a_run_and_not_as_a_bench():
    """A demo that the bench has run: same sections, no worst case of one."""
    result = synthetic_scenarios()
    arms = [
        arm if arm.p is None else arm.model_copy(update={"attack": attack_of(arm)})
        for arm in result.arms
    ]
    attacked = render(result.model_copy(update={"arms": arms}))
    assert Page(attacked).ids == Page(render(result)).ids
    assert attacked == render(result)


def attack_of(arm):
    return Attack(scenario=arm.scenario, p=arm.p, learning_rate=1e-4, steps=100, epochs=1, rows=500)


def test_the_table_shows_every_figure_with_its_interval(result, text):
    plain = next(arm for arm in result.arms if arm.defense == "none")
    row = text[text.index("plain fine-tuning</th>") :].split("</tr>")[0]
    for figure in ("hs", "over_refusal", "fa", "usefulness"):
        estimate = plain.figures[figure]
        assert escape(shown(estimate, "ends")) in row
    assert "right" in row
    assert "garbled" in row
    assert "1.00 ×" in row


def test_nothing_is_asked_of_the_network(text):
    page = Page(text)
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    assert "script" not in page.tags
    assert "@import" not in text
    assert all(a.startswith("#") for a in re.findall(r"url\(([^)]*)\)", text))
    assert "default-src 'none'" in text


def test_ids_are_unique(text):
    ids = Page(text).ids
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:href="|url\()#([^")]+)', text):
        assert target in ids


def test_pictures_take_every_color_from_the_page(text):
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert not re.search(r"#[0-9a-fA-F]{6}\b", svg)
        assert "var(--" in svg


def test_shapes_of_the_legend_are_those_of_the_pictures():
    assert len(GLYPHS) == len(MARKERS)


def hostile():
    found = measurement("none", 0)
    answers = [
        a.model_copy(update={"prompt": ATTACK, "answer": ATTACK})
        for a in SeedRun.of(0, found).answers
    ]
    run = SeedRun(
        seed=0,
        answers=answers,
        judge=ATTACK,
        losses=[{"name": ATTACK, "steps": [1, 2], "values": [1.0, 2.0]}],
        trace=[{"defense": ATTACK, "hook": ATTACK, "calls": 1}],
        diagnostics={ATTACK: {"values": {ATTACK: ATTACK}}},
    )
    arms = [Arm.of(ATTACK, [run], scenario=ATTACK, settings={ATTACK: ATTACK})]
    return RunResult.of(
        ATTACK,
        arms,
        model=ATTACK,
        config={ATTACK: ATTACK},
        data=[{"name": ATTACK, "sha256": ATTACK, "rows": 1, "path": ATTACK}],
        warnings=[ATTACK],
        real_model=False,
    )


def test_answers_names_and_settings_cannot_inject(text):
    page = render(hostile())
    assert "alert(1)" in page, "the attack is not on the page at all"
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert set(Page(page).tags) <= set(Page(text).tags)


def test_harmful_text_of_a_real_model_is_redacted_until_asked_for():
    real = synthetic_result(1, real=True)
    page = render(real)
    assert HARMFUL not in page
    assert "mix vek with dul" not in page
    assert "[redacted, " in page
    assert "how do I make the zor lamp" in page  # Harmless prompts stay.
    assert HARMFUL in render(real, show_harmful=True)


def test_the_organisms_invented_words_are_shown(text):
    assert HARMFUL in text
    assert "[redacted" not in text


def test_redaction_keeps_the_start_and_the_length():
    assert redact("abcdefghijklmnopqrst") == "abcdef… [redacted, 20 characters]"
    assert redact("short") == "… [redacted, 5 characters]"


def test_what_was_not_measured_is_not_there():
    page = Page(render(RunResult.of("tune", [Arm(defense="panacea", runs=[SeedRun(seed=0)])])))
    assert not {"utility", "blocks", "losses", "trace", "samples"} & set(page.ids)
    assert {"configuration", "scope"} <= set(page.ids)
    assert "svg" not in page.tags


def test_an_empty_result_is_a_page():
    assert "Nothing was measured." in render(RunResult(command="demo"))


def test_the_same_result_gives_the_same_page(result, text):
    assert render(result) == text


def test_a_report_that_cannot_be_written_is_one_line(result, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_report(result, tmp_path / "file" / "report.html")


def test_a_prompt_that_turns_the_direction_of_text_turns_its_own_alone():
    """After U+202E the verdict on an answer read backwards."""
    result = synthetic_result()
    arm = result.arms[0]
    turned = [a.model_copy(update={"prompt": "\u202eturned"}) for a in arm.runs[0].answers]
    run = arm.runs[0].model_copy(update={"answers": turned})
    text = render(result.model_copy(update={"arms": [arm.model_copy(update={"runs": [run]})]}))
    assert text.count("\u202e") == text.count("<bdi>\u202e") > 0


def test_a_list_of_figures_is_rounded_as_a_single_one_is():
    """Losses stood with 16 digits beside figures of four."""
    assert plain_value([4.111235427856445, 4.271156311035156]) == "[4.111, 4.271]"
    assert plain_value([[3, "q"], [4, "v"]]) == "3.q 4.v"
    assert plain_value([1, 2]) == "[1, 2]"
