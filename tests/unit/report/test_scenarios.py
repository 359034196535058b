"""A result of several scenarios: every one is told, shown and kept apart, on page and terminal."""

import io
import re

import pytest
from rich.console import Console

from holdfast.comparisons.scenes import scenes
from holdfast.report.answers import answers, warnings_of
from holdfast.report.figures.looks import LINES, MARKERS, looks
from holdfast.report.figures.svg import SERIES
from holdfast.report.page import render
from holdfast.report.terminal import render_table
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from holdfast.results.words import arm_name, percent, scenario_title
from tests.synthetic_result import SCENARIOS, synthetic_scenarios

TITLES = (
    "harmful mix, 10% harmful rows",
    "benign fine-tuning: obedience",
    "benign fine-tuning: knowledge",
)


@pytest.fixture(scope="module")
def result():
    return synthetic_scenarios()


@pytest.fixture(scope="module")
def text(result):
    return render(result)


def bare(defense, scenario="", p=None):
    return Arm(defense=defense, scenario=scenario, p=p, runs=[SeedRun(seed=0)])


@pytest.mark.parametrize(
    ("name", "p", "title"),
    [
        ("harmful_mix", 0.1, "harmful mix, 10% harmful rows"),
        ("harmful_mix", 0.0, "harmful mix, 0% harmful rows"),
        ("benign_obedience", 0.0, "benign fine-tuning: obedience"),
        ("benign_obedience", 0.05, "benign fine-tuning: obedience, 5.0% harmful rows"),
        ("benign_knowledge", None, "benign fine-tuning: knowledge"),
        ("my_own_Data.jsonl", None, "my_own_Data.jsonl"),
        ("", None, ""),
    ],
)
def test_a_scenario_has_a_heading(name, p, title):
    assert scenario_title(name, p) == title


@pytest.mark.parametrize(
    ("defense", "name", "parts"),
    [
        ("before", "before fine-tuning", []),
        ("none", "plain fine-tuning", []),
        ("ml_lr(random)", "ml_lr (random subset)", ["ml_lr"]),
        ("ml_lr(complement)", "ml_lr (complement)", ["ml_lr"]),
        ("swat(random)+panacea", "swat (random subset) + panacea", ["swat", "panacea"]),
        ("swat+panacea", "swat + panacea", ["swat", "panacea"]),
    ],
)
def test_a_control_is_named_and_keeps_its_registry_name(defense, name, parts):
    arm = bare(defense)
    assert arm_name(defense) == name
    assert arm.defenses == parts
    assert arm.is_control == ("(" in defense)


def test_every_arm_stands_in_its_scenario_with_its_own_untouched_model(result):
    found = scenes(result)
    assert [scene.title for scene in found] == list(TITLES)
    assert [[arm.defense for arm in scene.arms] for scene in found] == [
        list(arms) for _, arms in SCENARIOS.values()
    ]
    assert all(arm.scenario == scene.name for scene in found for arm in scene.arms)


def test_an_untouched_model_of_no_scenario_stands_in_each():
    arms = [bare("before"), bare("none", "a", 0.1), bare("none", "a", 0.2), bare("none", "b", 0.0)]
    found = scenes(RunResult.of("bench", arms))
    assert [(s.name, s.p, [a.defense for a in s.arms]) for s in found] == [
        ("a", 0.1, ["before", "none"]),
        ("a", 0.2, ["before", "none"]),
        ("b", 0.0, ["before", "none"]),
    ]


def test_an_untouched_model_without_tuning_is_shown_all_the_same():
    arms = [bare("before", "a"), bare("before", "b"), bare("none", "b", 0.0)]
    found = scenes(RunResult.of("bench", arms))
    assert [(s.name, len(s.arms)) for s in found] == [("b", 2), ("a", 1)]


def test_the_answer_is_two_sentences_over_all_scenarios(result):
    first, second = answers(result)
    assert first.startswith("Plain fine-tuning on data with 10% harmful rows raised")
    assert "with 9 defenses" in first
    for scene in scenes(result)[1:]:
        assert f"to {percent(scene.plain.mean('hs'))} (" in second
        for arm in scene.defended:
            assert f"{percent(arm.mean('hs'))} with {arm.defense}" in second
    assert "benign obedience data" in second
    assert "benign knowledge data" in second
    assert len(told(result).split()) < 90


def test_controls_are_no_defenses_in_the_answer():
    result = synthetic_scenarios(5)
    arms = [arm for arm in result.arms if arm.scenario == "benign_obedience"]
    best = next(arm for arm in arms if arm.defense == "swat(random)")
    figures = best.figures | {"hs": next(a for a in arms if a.defense == "before").figures["hs"]}
    arms[arms.index(best)] = best.model_copy(update={"figures": figures})
    sentence = told(result.model_copy(update={"arms": arms}))
    assert "ml_lr is lowest" in sentence
    assert f"controls {percent(figures['hs'].value)} to" in sentence


def test_more_scenarios_than_a_sentence_holds_are_counted():
    result = synthetic_scenarios()
    arms = [arm.model_copy(update={"scenario": f"s{n}"}) for n in range(6) for arm in result.arms]
    kept = [a for a in arms if a.defense in {"none", "swat"} and a.p == 0.1]
    assert answers(result.model_copy(update={"arms": kept}))[-1] == "2 more scenarios below."


def test_rows_hold_every_scenario(result):
    rows = result.rows()
    assert [(row["scenario"], row["p"], row["defense"]) for row in rows] == [
        (name, p, defense)
        for name, (p, arms) in SCENARIOS.items()
        for defense in arms
        if defense != "before"
    ]
    assert all(row["relative_time"] == 1.0 for row in rows if row["defense"] == "none")


def test_controls_are_compared_with_plain_of_their_scenario(result):
    arms = {(arm.scenario, arm.defense): arm for arm in result.arms}
    for scenario in ("benign_obedience", "benign_knowledge"):
        control, plain = arms[scenario, "ml_lr(random)"], arms[scenario, "none"]
        expected = control.mean("hs") - plain.mean("hs")
        assert control.versus_plain["hs"].value == pytest.approx(expected)


def test_a_control_that_ran_is_no_warning_and_one_that_did_not_is(result):
    assert not [w for w in warnings_of(result) if "trace" in w]
    index = next(i for i, a in enumerate(result.arms) if a.defense == "ml_lr(random)")
    arm = result.arms[index]
    runs = [run.model_copy(update={"trace": []}) for run in arm.runs]
    arms = [*result.arms]
    arms[index] = arm.model_copy(update={"runs": runs})
    assert [w for w in warnings_of(result.model_copy(update={"arms": arms})) if "trace" in w] == [
        "The trace does not show that ml_lr (in ml_lr (random subset), "
        "benign fine-tuning: obedience) ran in every run."
    ]


def test_what_a_defense_warns_of_reaches_the_report(result):
    arm = next(arm for arm in result.arms if arm.defense == "ml_lr")
    said = {"ml_lr": {"values": {"warnings": ["the probe is at chance"]}}}
    run = SeedRun.model_validate({"seed": 0, "diagnostics": said, "trace": arm.runs[0].trace})
    found = RunResult.of("tune", [Arm(defense="ml_lr", runs=[run])])
    assert warnings_of(found) == ["ml_lr: the probe is at chance"]
    assert "the probe is at chance" in render(found)


def test_the_page_has_a_table_for_each_scenario(result, text):
    assert text.count('<table class="main') == 3
    tables = text.split('<table class="main')[1:]
    for scene, table, title in zip(scenes(result), tables, TITLES, strict=True):
        assert f"<h2>{title}</h2>" in text
        rows = table.split("</table>")[0]
        assert rows.count('scope="row"') == len(scene.arms)
        for arm in scene.arms:
            cell = rows[rows.index(f"{arm_name(arm.defense)}</th>") :].split("</tr>")[0]
            assert percent(arm.mean("hs")) in cell


def test_the_page_shows_a_dot_for_each_seed(result, text):
    dots = re.findall(r'<div class="dots".*?</div>', text)
    assert len(dots) == len(result.arms)
    first = [f"left: {100 * run.shares['hs'].value:.1f}%" for run in result.arms[0].runs]
    assert re.findall(r"left: [\d.]+%", dots[0]) == first


def test_ids_stay_unique_and_pictures_name_their_scenario(text):
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert text.count("<svg") == 8
    for title in TITLES:
        assert text.count(f"<figcaption>{title}</figcaption>") >= 2


def test_an_arm_looks_the_same_everywhere_and_like_no_other(result, text):
    found = looks(result.arms)
    pairs = {(look.color, look.shape) for look in found.values()}
    assert len(pairs) == len(found) == 15
    assert len({(look.color, look.line) for look in found.values()}) == 15
    swatches = set(
        re.findall(r'color: var\((--series-\d)\)" [^>]*>(.)&#xFE0E;</span>([^<]+)<', text)
    )
    assert len(swatches) == len({name for *_, name in swatches}) == 15


def test_many_arms_are_told_apart():
    found = looks([bare(f"d{n}") for n in range(24)])
    assert len({(look.color, look.shape) for look in found.values()}) == 26
    kept = {found["before"].color, found["none"].color}
    assert kept.isdisjoint(found[f"d{n}"].color for n in range(24))
    assert all(look.color < len(SERIES) and look.shape < len(MARKERS) for look in found.values())
    assert all(look.line < len(LINES) for look in found.values())


def test_settings_that_differ_name_their_scenario(result):
    arms = [
        arm.model_copy(update={"settings": {"ratio": arm.p}}) if arm.defense == "ml_lr" else arm
        for arm in result.arms
    ]
    page = render(result.model_copy(update={"arms": arms}))
    assert f"<summary>ml_lr · {TITLES[0]}</summary>" in page
    assert page.count("<summary>swat</summary>") == 1


def test_the_terminal_has_a_titled_table_for_each_scenario_in_80_columns(result):
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(render_table(result))
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert [line.strip() for line in lines if line.strip() in TITLES] == list(TITLES)
    shown = out.getvalue()
    assert "…" not in shown
    assert shown.count("(random subset)") == 4
    for arm in result.arms:
        assert percent(arm.mean("hs")) in shown


def told(result):
    return " ".join(answers(result))
