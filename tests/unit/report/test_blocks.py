"""Blocks on the page: any defense's own tables, curves and sentences, escaped, by seed."""

import re

import pytest

from holdfast.artifact import Artifact, Curve, Sentence, Table
from holdfast.report.page import render
from holdfast.results.diagnose import diagnose
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.synthetic_bench import synthetic_bench
from tests.unit.report.test_page import ATTACK, Page


def report(seed=0, text="It works."):
    """What a defense that holdfast does not know says."""
    return {
        "path": Curve("The path", "step taken", (0.0, 1.0, 2.0), {"distance": (1.0, 0.5, seed)},
                      "How far it went.", marked=1.0),
        "parts": Table("The parts", ("part", "size"), (("left", 1.5), ("right", None)), "Sizes."),
        "found": Sentence("The finding", text),
        "norm": 0.25,
    }  # fmt: skip


def arm(*reports, defense="mine", **rest):
    runs = [
        SeedRun(seed=n, diagnostics=diagnose([Artifact("mine", report=each)]))
        for n, each in enumerate(reports)
    ]
    return Arm(defense=defense, runs=runs, **rest)


def section(page):
    return page[page.index('<section id="blocks">') :].split("</section>")[0]


def test_a_defense_nobody_knows_has_its_own_blocks():
    page = render(RunResult.of("tune", [arm(report())]))
    shown = section(page)
    for text in ("The path", "How far it went.", "The parts", "Sizes.", "The finding", "It works."):
        assert text in shown
    assert shown.count("<svg") == 1
    assert ">distance</text>" in shown
    assert ">step taken</text>" in shown
    assert re.findall(r"<td[^>]*>(.*?)</td>", shown) == ["left", "1.5", "right", "–"]
    assert "norm" not in shown
    assert page[page.index('<section id="gates">') :].count("<td>norm</td><td>0.25</td>") == 1


def test_seeds_stand_side_by_side_and_alike_ones_once():
    shown = section(render(RunResult.of("tune", [arm(report(0), report(1), report(2))])))
    assert shown.count("It works.") == 1
    assert re.findall(r'data-label="seed">(\d)<', shown) == list("001122")
    shown = section(render(RunResult.of("tune", [arm(report(0), report(1, "It does not."))])))
    assert "Seed 0: It works." in shown
    assert "Seed 1: It does not." in shown


def test_a_block_is_shown_once_of_the_simplest_arm_that_has_it():
    arms = [arm(report(text="both"), defense="other+mine"), arm(report(text="alone"))]
    control = arm(report(text="control"), defense="mine(off)")
    shown = section(render(RunResult.of("tune", [control, *arms])))
    assert "alone" in shown
    assert "both" not in shown
    assert "control" not in shown
    assert shown.count("<h3>The finding") == 1


def test_what_a_defense_writes_cannot_inject():
    hostile = {
        "a": Curve(ATTACK, ATTACK, (0.0, 1.0), {ATTACK: (1.0, 2.0)}, ATTACK),
        "b": Table(ATTACK, (ATTACK,), ((ATTACK,),), ATTACK),
        "c": Sentence(ATTACK, ATTACK, ATTACK),
        ATTACK: Sentence("t", "x"),
    }
    page = render(RunResult.of("tune", [arm(hostile, defense=ATTACK)]))
    assert section(page).count("alert(1)") > 8
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    ids = Page(page).ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "curve",
    [
        Curve("c", "x", (), {}),
        Curve("c", "x", (1.0,), {"y": (None,)}),
        Curve("c", "x", (1.0,), {"y": (2.0,), "z": (None,)}),
    ],
)
def test_an_empty_curve_is_no_empty_plot(curve):
    shown = section(render(RunResult.of("tune", [arm({"c": curve})])))
    assert shown.count("<svg") == sum(y is not None for line in curve.series.values() for y in line)


def test_many_rows_are_folded():
    table = Table("t", ("a",), tuple((n,) for n in range(40)))
    shown = section(render(RunResult.of("tune", [arm({"t": table})])))
    assert "<summary>40 rows</summary>" in shown
    assert "<details open" not in shown


def test_a_bench_shows_blocks_too():
    result = synthetic_bench(2, 8)
    said = diagnose([Artifact("mine", report=report())])
    first = next(a for a in result.arms if a.defense == "panacea")
    runs = [run.model_copy(update={"diagnostics": said}) for run in first.runs]
    mine = first.model_copy(update={"defense": "mine", "runs": runs})
    shown = section(render(result.model_copy(update={"arms": [*result.arms, mine]})))
    assert "The path" in shown
    assert "mine · harmful mix: 10% harmful rows, learning rate 2.3e-4" in shown
    assert shown.count("<svg") == 1
