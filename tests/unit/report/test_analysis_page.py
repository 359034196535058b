"""The analysis page says what was found, escapes what it was given and fits a phone."""

import re

import pytest

from holdfast.analysis.against_base import Comparison, ModuleNorm
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.analysis.patterns import Pattern
from holdfast.analysis.probing.probe import Quality
from holdfast.report.analysis_page import AnalysisPage, answer, render_analysis, told
from tests.end_to_end.test_report_page import CHROMIUM, DARK, brightness, browse, measured
from tests.unit.analysis.test_patterns import GOOD, ROLES, a_map, falling, robust


def found(modules, layers=6) -> RobustModules:
    at = [ModuleAt(layer=n, role=role) for n, role in modules]
    return RobustModules(layers=layers, roles=sorted(ROLES), modules=at)


def quality(balanced: float) -> Quality:
    return GOOD.model_copy(update={"balanced_accuracy": balanced})


def compared(after: float, retrained: float = 1.0, before: float = 1.0) -> Comparison:
    return Comparison(
        tuned="runs/" + "a-long-name-" * 12,
        drift=0.25,
        before=quality(before),
        after=quality(after),
        retrained=quality(retrained),
        inside=1.5,
        outside=2.5,
        modules=[
            ModuleNorm(module=ModuleAt(layer=0, role="q"), norm=1.5, relative=0.1, robust=True)
        ],
    )


def page(**changes) -> AnalysisPage:
    modules = robust((0.6, True), (1.5, False), (0.8, True))
    patterns = [Pattern(n, f"claim {n}", "holds here", "figure one") for n in "ABC"]
    given = {
        "robustness": a_map(falling, layers=32, draws=(0.5, 1.5)),
        "robust": modules.model_copy(update={"layers": 32}),
        "patterns": patterns,
        "comparison": compared(0.9),
        "warnings": ["<b>blind</b> " + "w" * 150],
        "config": {"an_option_" * 8: "x" * 200},
    }
    return AnalysisPage(**{**given, **changes})


def test_the_answer_joins_runs_of_layers_in_the_order_of_papers():
    said = answer(found([(1, "v"), (2, "v"), (3, "v"), (5, "v"), (0, "q")]))
    assert said == "5 of 42 modules are robust, by layer: q\xa00; v\xa01–3, 5."
    assert answer(found([(1, "v")])).startswith("1 of 42 module is robust")
    assert answer(found([])).startswith("None of 42")


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (compared(1.0), "still tells harmful from benign."),
        (compared(0.9), "but less well"),
        (compared(0.6), "moved and are not lost"),
        (compared(0.6, 0.6), "are lost"),
        (compared(0.6, before=0.7), "nothing can be told"),
    ],
)
def test_what_became_of_the_features(comparison, words):
    assert words in told(comparison)
    assert "by 0.25" in told(comparison)


def test_the_map_has_a_number_for_every_module_and_marks_the_robust():
    text = render_analysis(page())
    heat = re.search(r'<table class="heat">.*?</table>', text, re.S)[0]
    cells = re.findall(r"<td[^>]*>([^<]+|&lt;\.1)</td>", heat)
    assert len(cells) == 32 * 7
    assert "100" in cells
    assert heat.count('class="robust"') == 2
    assert 'aria-label="' in heat
    shades = [int(n) for n in re.findall(r"--shade: (\d+)", heat)]
    assert (min(shades), max(shades)) == (0, 100)


def test_the_path_and_what_was_given_are_shown_and_escaped():
    text = render_analysis(page())
    assert "rolled back" in text
    assert "150%" in text  # Of the limit 1.0.
    assert "&lt;b&gt;blind&lt;/b&gt;" in text
    assert "<b>blind" not in text
    assert "was not tested" in text


def test_without_a_tuned_model_there_is_no_such_section():
    text = render_analysis(page(comparison=None, warnings=[]))
    assert 'id="against"' not in text
    assert 'class="warnings' not in text


def test_scores_of_zero_are_drawn():
    zero = a_map(lambda *_: 0.0)
    assert "heat" in render_analysis(page(robustness=zero, comparison=None))


@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_it_fits_asks_for_nothing_and_has_a_dark_mode(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_analysis(page()))
    _, said = browse(path.as_uri(), tmp_path / "console")
    assert said == []
    papers = []
    for width, flags in ((390, ()), (390, DARK), (1200, ())):
        room = measured(path, tmp_path, width, "--window-size=1400,1000", *flags)
        assert room["scroll"] <= room["width"]
        assert room["outside"] == []
        assert room["requests"] == []
        assert room["pictures"] == 2
        papers.append(brightness(room["paper"]))
    assert papers[0] - papers[1] > 180


def test_an_analysis_of_an_adapter_is_headed_with_it():
    """The page of an adapter's analysis was headed as its base's."""
    heads = {
        given: re.findall(r"<h1>(.*?)</h1>", render_analysis(page(config={"adapter": given})))[0]
        for given in ("out/tuned", None)
    }
    assert heads["out/tuned"] == f"{heads[None]} with the adapter out/tuned"
