"""A bench's page: worst cases first, controls marked, small, and silent about what is missing."""

import io
import json
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from holdfast.cli.printed.bench import tell_bench
from holdfast.comparisons.doses import doses
from holdfast.report.answers import warnings_of
from holdfast.report.bench_answers import bench_answers
from holdfast.report.page import render
from holdfast.report.sections.worst import heat_rows, views
from holdfast.report.terminal import render_table
from holdfast.results.attacks import attack_text
from holdfast.results.comparisons import BenchSummary
from holdfast.results.records import Arm, Attack
from holdfast.results.result import RunResult
from holdfast.results.words import arm_name, percent
from tests.synthetic_bench import synthetic_bench
from tests.unit.report.test_page import ATTACK, Page


@pytest.fixture(scope="module")
def result():
    return synthetic_bench(5, 8)


@pytest.fixture(scope="module")
def text(result):
    return render(result)


def test_the_overview_comes_first_and_every_attack_is_folded(text, result):
    assert re.findall(r'<section id="(\w+)"', text)[:4] == ["worst", "curves", "fronts", "attacks"]
    part = text[text.index('<section id="attacks">') : text.index('<section id="trace">')]
    attacks = {arm.attack for arm in result.arms if arm.attack is not None}
    assert part.count("<details>") == len(attacks) == 10
    assert "<details open" not in part


def test_controls_are_marked_in_every_table(text):
    tables = re.findall(r"<table.*?</table>", text, flags=re.DOTALL)
    of_arms = [table for table in tables if "Hook</th>" not in table]
    assert len(of_arms) >= 1 + 2 + 2 + 10  # map, worst cases, front, attacks
    for table in of_arms:
        for row in re.findall(r'<th role="rowheader".*?</th>', table, flags=re.DOTALL):
            control = "random_perturbation" in row or "swat (random subset)" in row
            assert (">control<" in row) == control, row


def test_five_seeds_are_sorted_by_the_worst_case_and_fewer_are_not(result):
    (mix, _) = views(result.bench)
    shown = [line.row for line in mix.lines]
    assert [row.defense for row in shown[:2]] == ["before", "none"]
    values = [row.hs.value for row in shown[2:]]
    assert values == sorted(values)
    assert values != [row.hs.value for row in result.bench.worst[0].rows[2:]]
    few = synthetic_bench(2, 8)
    (mix, _) = views(few.bench)
    assert [line.row for line in mix.lines] == few.bench.worst[0].rows
    assert "nothing is ranked" in render(few)


def test_where_no_defenses_task_was_measured_none_is_told_to_lose_it(result):
    table = result.bench.worst[0]
    rows = [
        row if row.defense == "none" else row.model_copy(update={"fa": None, "fa_worst": None})
        for row in table.rows
    ]
    (told,) = bench_answers(BenchSummary(worst=[table.model_copy(update={"rows": rows})]))
    assert "no defense keeps" not in told
    assert "with 4 defenses" in told


def test_the_map_names_the_worst_attack(result, text):
    titles = re.findall(r'<td role="cell"[^>]* title="([^"]+)"', text)
    for row in result.bench.worst[0].rows:
        where = f"worst at {attack_text(row.attack)};" if row.attack else "before any fine-tuning;"
        assert f"{arm_name(row.defense)}, harmful mix: {where} {row.seeds} seeds" in titles
    assert all(len(rows) == 2 for _, _, rows in heat_rows(result.bench))


def test_what_was_not_compared_is_listed(text):
    assert "Not compared here: 9 arms" in text
    assert "panacea(rho=0.25): ran under 1 of 9 attacks" in text


def test_a_curve_holds_the_other_knobs_equal(result):
    found = {dose.knob: dose for dose in doses(result.arms) if dose.scenario == "harmful_mix"}
    assert list(found) == ["p", "learning_rate", "epochs"]
    assert [x for x, _ in found["p"].curves["panacea"]] == [0.0, 0.05, 0.1, 0.2, 0.3]
    assert [x for x, _ in found["learning_rate"].curves["none"]] == [1.15e-4, 2.3e-4, 4.6e-4]
    assert "panacea(rho=1)" not in found["p"].curves
    for dose in found.values():
        for points in dose.curves.values():
            fixed = {"p", "learning_rate", "steps", "rows"} - {dose.knob}
            fixed -= {"steps"} if dose.knob == "epochs" else set()
            assert all(len({getattr(a.attack, k) for _, a in points}) == 1 for k in fixed)


def test_every_seed_is_a_dot(text):
    first = text[text.index('<div class="panels">') :].split("</svg>")[0]
    assert first.count("<circle") == 2 * 5 * 5  # figures, values of p, seeds


def test_a_result_without_answers_gives_the_same_overview(result, text):
    bare = render(result.without_answers())
    start, end = '<section id="worst">', '<section id="samples">'
    assert bare[bare.index(start) : bare.index('<section id="configuration">')].strip() == (
        text[text.index(start) : text.index(end)].strip()
    )
    assert 'id="samples"' not in bare


def test_without_answers_or_summary_the_rest_is_shown(result):
    bare = render(result.without_answers().model_copy(update={"bench": None}))
    assert not {"worst", "fronts"} & set(Page(bare).ids)
    assert {"curves", "attacks"} <= set(Page(bare).ids)


def test_the_page_is_sound(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert "script" not in page.tags
    assert all(a.startswith(("#", "data:")) for a in page.addresses)
    for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL):
        assert not re.search(r"#[0-9a-fA-F]{6}\b", svg)


def test_hundreds_of_arms_stay_below_five_megabytes(result):
    """Thirty times the arms: what grows with them must leave room."""
    copies = [
        arm.model_copy(update={"defense": f"{arm.defense}({n})"})
        for n in range(4)
        for arm in result.arms
        if arm.attack is not None
    ]
    many = result.model_copy(update={"arms": [*result.arms, *copies]})
    assert len(many.arms) > 380
    assert len(render(many).encode()) < 5_000_000


def test_names_cannot_inject(result):
    where = Attack(scenario=ATTACK, p=0.1, learning_rate=1e-4, steps=10, epochs=1, rows=80)
    arms = [
        Arm.of(ATTACK, arm.runs, scenario=ATTACK, p=p, attack=where.model_copy(update={"p": p}),
               family=ATTACK, strength=p)
        for p, arm in zip((0.1, 0.2), result.arms[3:], strict=False)
    ]  # fmt: skip
    page = render(RunResult.of("bench", arms))
    assert "alert(1)" in page
    assert "<script" not in page
    assert "<img" not in page


def test_the_terminal_shows_worst_cases_and_not_every_attack(result):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_table(result))
    text = console.export_text()
    worst = result.bench.worst
    assert [f"worst of {len(t.attacks)} attacks" in text for t in worst if len(t.attacks) > 1]
    rows = [line for line in text.splitlines() if line.startswith("plain ")]
    assert len(rows) == len(worst)


def test_the_terminal_tells_what_the_worst_case_refuses(result):
    """A worst harmful score stood beside the task alone: an arm that refuses all looked safe."""
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render_table(result))
    head, lines = result.bench.worst[0], console.export_text().splitlines()
    [first, *_] = [line for line in lines if line.startswith("plain ")]
    row = next(row for row in head.rows if row.defense == "none")
    shown = [percent(found.value) for found in (row.hs, row.over_refusal, row.fa)]
    assert first.split()[1:4] == shown
    assert max(map(len, lines)) <= 80


def test_a_machine_is_warned_of_what_the_page_of_a_bench_warns_of(capsys, tmp_path):
    """Evaluate, tune and repair were mended; bench and demo told a machine nothing."""
    result = synthetic_bench(2, 8)
    outcome = SimpleNamespace(failed={}, warnings=["a cell was slow"])
    tell_bench(result, outcome, tmp_path, as_json=True)
    told = json.loads(capsys.readouterr().out)["warnings"]
    assert told == ["a cell was slow", *warnings_of(result)]
    assert len(told) > 1
