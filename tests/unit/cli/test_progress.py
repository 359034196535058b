"""The time a stage still takes, from what it took in this run."""

import io

from rich.console import Console
from rich.progress import Progress

from holdfast.cli.shell import console
from holdfast.cli.shell.console import TimeLeft, working


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


def test_a_log_file_gets_no_bars(capfd):
    with working() as report:
        report("cells", 0, 2)
        report("cells", 1, 2)
    assert capfd.readouterr() == ("", "")
