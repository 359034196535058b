import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast
from holdfast.cli import main
from holdfast.cli.app import app
from holdfast.cli.shell.options import Interrupted
from holdfast.errors import DataError, DivergedError, GateError

SOURCE = Path(holdfast.__path__[0])


@pytest.fixture
def raising(monkeypatch):
    """Let ``holdfast list`` end in the given error."""

    def install(error: BaseException) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr("holdfast.defenses.registry", fail)

    return install


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("d.csv, row 2:\n is bad"), 2, "error: d.csv, row 2: is bad\n"),
        (DivergedError("NaN"), 1, "error: NaN\n"),
        (GateError("weak"), 1, "error: weak\n"),
        (Interrupted("kept"), 130, "interrupted: kept\n"),
        (OSError(errno.EACCES, "Permission denied", "/x"), 1, "error: /x: Permission denied\n"),
    ],
)
def test_each_family_has_its_code_and_one_line(capsys, raising, error, code, line):
    raising(error)
    assert main(["list"]) == code
    out, err = capsys.readouterr()
    assert (out, err) == ("", line)


def test_a_fault_of_ours_is_one_line_with_a_hint(capsys, raising, monkeypatch):
    raising(ZeroDivisionError("oops"))
    assert main(["list"]) == 1
    _, err = capsys.readouterr()
    assert err.startswith("error: ZeroDivisionError: oops (")
    assert "HOLDFAST_TRACEBACK=1" in err
    assert err.count("\n") == 1
    monkeypatch.setenv("HOLDFAST_TRACEBACK", "1")
    assert main(["list"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_notes_of_an_error_are_part_of_the_line(capsys, raising):
    error = DivergedError("NaN")
    error.add_note("checkpoint-4 is kept")
    raising(error)
    main(["list"])
    assert capsys.readouterr().err == "error: NaN; checkpoint-4 is kept\n"


def test_list_prints_the_cards_and_the_fields_of_one(capsys):
    assert main(["list", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["defenses"]]
    assert {"security_vectors", "panacea", "random_perturbation", "safe_mixing"} <= set(names)
    assert main(["list", "panacea", "--json"]) == 0
    rows = {row["field"]: row for row in json.loads(capsys.readouterr().out)["fields"]}
    assert rows["rho"]["default"] == 1.0
    assert rows["harmful"]["default"] == "--harmful FILE"
    assert all(row["meaning"] for row in rows.values())
    assert not any(name.endswith("_") for name in rows)
    assert main(["list"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in names)


def test_help_is_no_error_and_a_bare_call_shows_it(capsys):
    assert main(["--help"]) == 0
    assert "tune" in capsys.readouterr().out
    assert main([]) == 2
    assert "Usage" in capsys.readouterr().err


def test_help_imports_nothing_heavy():
    # The package's own ``__init__`` is left out: this is about the command line's modules.
    code = (
        "import sys, types;"
        f"p = types.ModuleType('holdfast'); p.__path__ = [{str(SOURCE)!r}];"
        "sys.modules['holdfast'] = p; from holdfast.cli import main; main(['tune', '--help']);"
        "heavy = {'torch', 'transformers', 'datasets', 'trl'} & set(sys.modules);"
        "print(sorted(heavy), file=sys.stderr)"
    )
    before = _seconds_of_children()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert _seconds_of_children() - before < 10


def _seconds_of_children():
    """What ended children have computed: a busy machine does not change it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_every_command_is_short_and_registered():
    names = {command.name for command in app.registered_commands}
    assert names == {
        *("demo", "inspect", "data", "align", "tune", "repair", "evaluate", "judge", "analyze"),
        *("bench", "claims", "compare", "list"),
        *("screen", "choose", "redteam", "gate"),
    }
    assert [group.name for group in app.registered_groups] == ["organism"]
    for path in [*(SOURCE / "cli").glob("*.py"), *(SOURCE / "cli" / "reading").glob("*.py")]:
        short = {"demo", "tune", "repair", "evaluate", "bench", "listing"}
        limit = 80 if path.stem in short else 130
        assert len(path.read_text().splitlines()) < limit, path


def test_a_working_folder_that_was_removed_is_one_line(tmp_path):
    """Torch ended the process in it, with a line on a library that cannot be loaded."""
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"import os; os.rmdir({str(gone)!r}); from holdfast.cli import main; exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, "list"], capture_output=True, text=True, cwd=gone,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "the working folder is not there any more" in done.stderr
    assert len(done.stderr.splitlines()) == 1
