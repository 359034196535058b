"""The time a stage still takes, from what it took in this run."""

import io
import re

import pytest
from rich.console import Console
from rich.progress import Progress

from holdfast.cli.shell import console
from holdfast.cli.shell.console import TimeLeft, working
from holdfast.cli.shell.durations import passed
from holdfast.cli.shell.log_lines import LogLines


def shown(completed, since, last, now, monkeypatch, first=10, total=40):
    bars = Progress(console=Console(file=io.StringIO()))
    number = bars.add_task("cells", total=total, first=first, since=since)
    bars.update(number, completed=completed, last=last)
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    return TimeLeft().render(bars.tasks[0]).plain


def test_the_time_left_comes_from_this_runs_cells_alone(monkeypatch):
    # Ten were done before; five more took 100 s, so 25 take 500 s, of which 20 s are over.
    assert shown(15, 1000.0, 1100.0, 1120.0, monkeypatch) == "about 8 min left"
    assert shown(15, 1000.0, 1010.0, 1020.0, monkeypatch) == "about 40 s left"
    assert shown(15, 0.0, 3000.0, 3000.0, monkeypatch) == "about 4.2 h left"
    assert shown(15, 1000.0, 1010.0, 2000.0, monkeypatch) == "about 0 s left"


def test_nothing_is_guessed_before_the_first_and_after_the_last(monkeypatch):
    assert shown(10, 1000.0, 1000.0, 1100.0, monkeypatch) == ""
    assert shown(40, 1000.0, 1100.0, 1100.0, monkeypatch) == ""


def test_a_log_gets_a_line_for_each_tenth_and_no_bars(capfd):
    """Fault E8: without a terminal a log had 0 bytes to the end."""
    with working() as report:
        for done in range(101):
            report("tune", done, 100, "loss 1.5" if done else "")
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 10
    assert re.fullmatch(r"\d\d:\d\d:\d\d tune: 10 of 100, loss 1\.5, .* per s, .* left", lines[0])
    assert lines[-1].split()[1:5] == ["tune:", "100", "of", "100,"]


def test_a_slow_stage_has_a_line_each_minute():
    """Fault E8: without a terminal a log had 0 bytes to the end."""
    told, now = [], [0.0]
    log = LogLines(told.append, lambda: now[0])
    log.report("cells", 0, 1000)
    log.beat()
    assert told == []
    now[0] = 61.0
    log.beat()
    assert told == ["cells: 0 of 1000"]
    log.beat()
    now[0] = 100.0
    log.report("cells", 1, 1000)
    assert len(told) == 1
    now[0] = 122.0
    log.report("cells", 2, 1000)
    assert told[1] == "cells: 2 of 1000, 0.0164 per s, 2 min so far, about 16.9 h left"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "1 s"), (40.9, "40 s"), (62, "62 s"), (122, "2 min"), (7300, "2.0 h")],
)
def test_no_more_time_is_told_than_has_passed(seconds, told):
    """After 62 seconds it said "2 min so far"."""
    assert passed(seconds) == told


def test_a_stage_that_is_done_takes_no_more_time():
    """What follows may tell nothing for minutes: they were counted as time of the stage before."""
    told, now = [], [0.0]
    log = LogLines(told.append, lambda: now[0])
    log.report("answers", 0, 40)
    now[0] = 10.0
    log.report("answers", 40, 40)
    assert told == ["answers: 40 of 40, 4 per s, 10 s so far"]
    now[0] = 70.0
    log.beat()
    assert told[1:] == ["answers: done 60 s ago, still working"]
    log.report("answers", 10, 50)  # A stage of that name begins again.
    now[0] = 131.0
    log.beat()
    assert told[-1].startswith("answers: 10 of 50, ")


def test_what_an_earlier_run_did_is_not_counted_as_speed():
    """Fault E8: without a terminal a log had 0 bytes to the end."""
    told, now = [], [0.0]
    log = LogLines(told.append, lambda: now[0])
    log.report("tune", 50, 100)
    now[0] = 10.0
    log.report("tune", 60, 100)
    assert told == ["tune: 60 of 100, 1 per s, 10 s so far, about 40 s left"]
