"""Nothing that a stranger wrote reaches the terminal raw: arguments, results, templates, data."""

import json
import logging
import sys

import pytest
from rich.text import Text

from holdfast.cli import main
from holdfast.cli.shell.console import (
    print_json,
    print_lines,
    print_rows,
    print_table,
    say,
    working,
)
from holdfast.cli.shell.escaping import escaped_streams, json_safe, visible
from holdfast.comparisons.two_results import load_result
from holdfast.errors import DataError
from holdfast.report.terminal import plain_table
from tests.synthetic_result import synthetic_result

EVIL = "\x1b]0;title\x07 \x1b[31mred \x9b2J \u202eback \x7f [red]x[/red] [link=file:///x]y[/link]"
SHOWN = r"\x1b]0;title\x07 \x1b[31mred \x9b2J \u202eback \x7f [red]x[/red] [link=file:///x]y[/link]"
RAW = set("\x1b\x07\x9b\u202e\x7f")


def clean(text):
    assert not RAW & set(text), ascii(text)
    return "".join(text.split())


@pytest.mark.parametrize(
    "write",
    [
        say,
        lambda text: print_lines([text]),
        lambda text: print_rows(text, [{text: text, "b": 1.0}]),
        lambda text: print_table(plain_table(text, ("", "b"), [(text, "1")])),
        lambda text: sys.stderr.writelines([text]),
        lambda text: sys.stdout.writelines([text]),
    ],
)
def test_what_is_written_is_shown(capsys, monkeypatch, write):
    """Fault E11: escape codes in result files, templates and arguments reached the terminal raw."""
    monkeypatch.setenv("COLUMNS", "400")
    with escaped_streams():
        write(EVIL)
    out, err = capsys.readouterr()
    found, wanted = clean(out + err), clean(SHOWN)
    # Tables drop the bell by themselves.
    assert wanted in found or wanted.replace(r"\x07", "") in found


def test_what_an_escape_makes_longer_than_the_line_is_not_cut(capsys, monkeypatch):
    """A warning that named a file with a code in it lost the end of its line."""
    monkeypatch.setenv("COLUMNS", "30")
    with escaped_streams():
        print_table(Text("the file a\x1b[31mb.jsonl holds no row at all"))
    told = " ".join(capsys.readouterr().out.split())
    assert told == r"the file a\x1b[31mb.jsonl holds no row at all"


def test_json_is_the_same_object(capsys):
    """Fault E11: escape codes in result files, templates and arguments reached the terminal raw."""
    given = {"a": EVIL, "b": ["\ud800 \U0001f600 é\n"]}
    with escaped_streams():
        print_json(given)
    text = capsys.readouterr().out
    clean(text)
    assert json.loads(text) == given
    assert json.loads(json_safe(json.dumps(given, ensure_ascii=False), "ascii")) == given
    assert json_safe(json.dumps("é", ensure_ascii=False), "ascii").isascii()


def test_libraries_are_shown_too(capsys):
    """Fault E11: what a library logs or prints of a file reached the terminal raw."""
    with escaped_streams(), working() as report:
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": EVIL}))
        print(EVIL)  # noqa: T201
        report(EVIL, 0, 1)
        report(EVIL, 1, 1, EVIL)
    out, err = capsys.readouterr()
    assert out == ""
    assert clean(err).count(clean(SHOWN)) == 4


def test_bars_are_drawn_and_names_in_them_shown(monkeypatch, capsys):
    """Fault E11: escape codes in result files, templates and arguments reached the terminal raw."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with escaped_streams(), working() as report:
        report(EVIL, 0, 1)
        report(EVIL, 1, 1)
        sys.stderr.write(EVIL + "\n")
    err = capsys.readouterr().err
    assert "\x1b[" in err  # Its own codes.
    assert "\x1b]0" not in err
    assert "\x1b[31mred" not in err
    assert "file:///x]y" in err


@pytest.mark.parametrize(
    "argv", [["compare", EVIL, "b"], ["list", EVIL], [EVIL], ["list", f"--{EVIL}"]]
)
def test_arguments_in_errors_are_shown(capsys, argv):
    """Fault E11: escape codes in arguments reached the terminal raw."""
    assert main(argv) == 2
    assert r"\x1b[31m" in clean(capsys.readouterr().err)


def test_a_result_is_shown(capsys, tmp_path):
    """Fault E11: escape codes in a result file reached the terminal raw."""
    result = synthetic_result()
    arms = [arm.model_copy(update={"scenario": EVIL}) for arm in result.arms]
    changed = result.model_copy(update={"arms": arms, "warnings": [EVIL], "model": EVIL})
    path = changed.save(tmp_path / "result.json")
    assert load_result(path).model == EVIL
    assert main(["compare", str(path), str(path)]) == 0
    out, err = capsys.readouterr()
    assert r"\x1b[31m" in clean(out + err)
    assert main(["compare", str(path), str(path), "--json"]) == 0
    clean(capsys.readouterr().out)


def test_errors_and_tracebacks_are_shown(capsys, monkeypatch):
    """Fault E11: escape codes in a row's error reached the terminal raw."""

    def fail(*_):
        raise DataError(f"{EVIL} is bad")

    monkeypatch.setattr("holdfast.defenses.registry", fail)
    monkeypatch.setenv("HOLDFAST_TRACEBACK", "1")
    assert main(["list"]) == 2
    assert clean(capsys.readouterr().err).count(r"\x1b[31m") >= 2


def test_plain_words_stay():
    text = "é ü – 漢字 \N{GRINNING FACE}\t\n\u200d"
    assert visible(text) == text


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_cell_of_a_table_is_cut_short(capsys, monkeypatch, columns):
    """Hub ids of the kits read as walledai/AdvBen…, which cannot be copied."""
    monkeypatch.setenv("COLUMNS", columns)
    hub = "owner-of-a-long-name/and-a-data-set-of-one-longer-still"
    print_rows("t", [{"name": "n" * 20, "what": "words " * 9, "read from": hub}])
    out = capsys.readouterr().out
    assert "…" not in out
    last = "".join(line.split("│")[3].strip() for line in out.splitlines() if "│" in line)
    assert last.endswith(hub)
