"""A file appears whole or not at all, and nothing else stays beside it."""

import json
import os
import re
from pathlib import Path

import pytest

from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.rows import calibration as rows
from holdfast.bench.choosing.record import ChooseResult
from holdfast.claims.judge import load_judged
from holdfast.errors import InputError, NewerFileError, RunError
from holdfast.evaluation.drift import calibration as drift
from holdfast.files.kinds import MARKS
from holdfast.files.whole import refuse_newer, write_whole
from holdfast.results.gating.ledger import Ledger
from holdfast.results.gating.records import Gate
from holdfast.results.result import RunResult
from holdfast.results.screening.file import ScreenFile


def test_written_with_its_folders(tmp_path):
    target = tmp_path / "a" / "b" / "file.json"
    write_whole(target, "ρ\n")
    assert target.read_bytes() == "ρ\n".encode()
    assert [f.name for f in target.parent.iterdir()] == ["file.json"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_an_earlier_file_stays_whole(tmp_path, monkeypatch, error, where):
    target = tmp_path / "file"
    target.write_text("old")

    def fails(*_):
        raise error

    monkeypatch.setattr(os if where == "fsync" else Path, where, fails)
    expected = RunError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_text_that_is_no_unicode_leaves_nothing(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_whole(tmp_path / "file", "\ud800")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_whole(tmp_path / "file" / "inner", "x")


NO_VERSION = [True, -1, "99", "1", 1.0, None, [1]]


@pytest.mark.parametrize("given", NO_VERSION)
def test_a_schema_version_that_is_none_is_refused(given, tmp_path):
    refuse_newer(tmp_path / "screen.json", 1, 1)
    said = re.escape(f"screen.json has schema version {given!r}, which is none")
    with pytest.raises(InputError, match=said):
        refuse_newer(tmp_path / "screen.json", given, 1)


@pytest.mark.parametrize(
    "load",
    [RunResult.load, ScreenFile.load, RobustModules.load, drift.Calibration.load,
     rows.Calibration.load, lambda path: load_judged(path.parent)],
)  # fmt: skip
def test_a_file_of_a_newer_holdfast_asks_for_an_upgrade_alone(load, tmp_path):
    """Some said to write it anew as well, which would lose what the newer one knows."""
    path = tmp_path / "file.json"
    path.write_text('{"schema_version": 99, "schema": 99, "sha256": ""}')
    with pytest.raises(NewerFileError, match=r"upgrade holdfast$"):
        load(path)


WHICH = {
    "result.json": (RunResult.load, {"arms": []}),
    "screen.json": (ScreenFile.load, {"findings": []}),
    "robust_modules.json": (RobustModules.load, {"tau": 0.5}),
}


@pytest.mark.parametrize("wanted", WHICH)
@pytest.mark.parametrize("given", [*WHICH, "gate.json", "choose.json"])
def test_another_of_our_files_is_told_as_what_it_is(wanted, given, tmp_path):
    """Its version was read as one of the file that was wanted: "upgrade holdfast"."""
    path, (load, _) = tmp_path / "file.json", WHICH[wanted]
    own = {"gate.json": {"exit_code": 0}, "choose.json": {"candidates": []}}
    own |= {name: fields for name, (_, fields) in WHICH.items()}
    path.write_text(json.dumps({"schema_version": 99, **own[given]}))
    said = "upgrade" if given == wanted else f"is a {given}, where a {wanted} is expected"
    with pytest.raises(InputError, match=said):
        load(path)


def test_the_marks_of_a_file_are_fields_of_no_other():
    kinds = {
        "result.json": RunResult, "screen.json": ScreenFile, "robust_modules.json": RobustModules,
        "gate.json": Gate, "choose.json": ChooseResult, "ledger of looks": Ledger,
    }  # fmt: skip
    for mark, kind in MARKS.items():
        assert [name for name, cls in kinds.items() if mark in cls.model_fields] == [kind]
