"""On a narrow terminal no row loses its name and no figure is cut."""

import io
import re

import pytest
from rich.console import Console

from holdfast.cli.shell.console import print_rows
from holdfast.comparisons.two_results import compare_results
from holdfast.report.terminal import render_table
from holdfast.report.two_results import render_comparison
from tests.synthetic_bench import synthetic_bench
from tests.synthetic_result import synthetic_result


def printed(drawn, width):
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(drawn)
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80])
@pytest.mark.parametrize("result", [synthetic_result(3), synthetic_bench(2, 8)], ids=["demo", "b"])
def test_no_name_is_lost_and_no_figure_cut(result, width):
    """At 40 columns the names were gone and 100% read as 10…."""
    other = result.model_copy()
    for drawn in (render_table(result), render_comparison(compare_results(result, other))):
        text = printed(drawn, width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        joined = "".join(text.split())
        figures = re.findall(r"[\d.]+%", printed(drawn, 200))
        assert len(figures) > 10
        assert not [one for one in figures if one not in joined]
        if width <= 40:
            assert "plainfine-tuning" in joined
            assert "harmfulscore" in joined


def test_a_terminal_with_room_has_the_table():
    result = synthetic_result(3)
    assert "harmful score:" not in printed(render_table(result), 80)
    told = printed(render_table(result), 40)
    assert "  harmful score: " in told
    assert "  over-refusal: " in told
    assert "  usefulness: " in told


@pytest.mark.parametrize("width", [30, 60, 80])
def test_no_word_of_a_list_is_broken(width, monkeypatch, capsys):
    """At 40 columns `holdfast list` had a letter on each line, and no third head."""
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [{"name": "memory_anchor_of", "read_from": "the aligned model", "stage": "tune"}] * 2
    print_rows("Defenses of this holdfast", rows)
    told = capsys.readouterr().out
    words = ["memory_anchor_of", "read", "from", "aligned", "model", "stage", "tune"]
    assert not [word for word in words if word not in told.replace(":", " ").split()]
    assert ("  read from: the aligned" in told) is (width == 30)
    print_rows("nothing", [])
