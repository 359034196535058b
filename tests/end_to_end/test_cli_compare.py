"""``holdfast compare`` from the command line."""

import json

import pytest

from holdfast.cli import main
from tests.unit.comparisons.test_two_results import result
from tests.unit.comparisons.test_worst_case import MILD, arm


@pytest.fixture
def folders(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    result(arm("none", MILD, 8), arm("swat", MILD, 5)).save(a / "result.json")
    result(arm("none", MILD, 8), arm("swat", MILD, 2)).save(b / "result.json")
    return a, b


def test_two_folders_become_a_table(folders, capfd):
    assert main(["compare", *map(str, folders)]) == 0
    shown, _ = capfd.readouterr()
    assert "swat" in shown
    assert "−30.0 [" in shown


def test_json_is_one_object_and_takes_files_too(folders, capfd):
    a, b = folders
    assert main(["compare", str(a / "result.json"), str(b), "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    gaps = {m["defense"]: m["gaps"][0] for m in found["matches"]}
    assert gaps["swat"]["difference"]["value"] == pytest.approx(-0.3)
    assert gaps["swat"]["paired_by"] == "prompts and seeds"
    assert gaps["none"]["a"]["value"] == 0.8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "holds no result.json"),
        ('{"schema_version": 1, "comm', "not a whole JSON file"),
        ('{"schema_version": 99}', "upgrade holdfast"),
        ('{"schema_version": 1, "command": "tune", "arms": []}', "no arm in common"),
    ],
)
def test_what_cannot_be_compared_is_one_line(folders, tmp_path, capfd, text, said):
    other = tmp_path / "other"
    other.mkdir()
    if text is not None:
        (other / "result.json").write_text(text)
    assert main(["compare", str(folders[0]), str(other)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
