"""The thin commands over the demo and the organism, with the work itself replaced."""

import json
import sys
from pathlib import Path

import pytest

from holdfast.bench import packaged
from holdfast.cli import main
from holdfast.errors import GateError
from tests.synthetic_result import synthetic_result

ROW = {
    "scenario", "p", "defense", "seeds", "hs", "hs_content", "over_refusal", "fa", "usefulness",
    "relative_time",
}  # fmt: skip


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """Replace the demo's work; returns what it was called with."""
    monkeypatch.chdir(tmp_path)
    calls: list[tuple[object, ...]] = []

    def run(seeds, out, progress):
        calls.append((list(seeds), out))
        progress("runs", 1, 2)
        sys.stdout.write("a library's chatter\n")
        (out / "result.json").write_text("{}")
        (out / "report.html").write_text("<html>")
        return synthetic_result()

    monkeypatch.setattr(packaged, "run_demo", run)
    return calls


def test_json_is_one_object_and_nothing_else(demo, capfd):
    assert main(["demo", "--seeds", "2", "--out", "d", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    assert rows
    assert all(set(row) == ROW for row in rows)
    assert "none" in {row["defense"] for row in rows}
    assert demo[0][0] == [0, 1]
    assert {path.name for path in Path("d").iterdir()} == {"result.json", "report.html"}
    assert [path.name for path in Path().iterdir()] == ["d"]


def test_the_table_is_for_people(demo, capfd):
    assert main(["demo"]) == 0
    out, err = capfd.readouterr()
    assert "harmful" in out
    assert "a library's chatter" not in out
    assert "demo-out/report.html" in err
    assert demo[0][0] == [0, 1, 2]


def test_an_earlier_demo_is_kept_unless_told_otherwise(demo, capfd):
    assert main(["demo", "--out", "d"]) == 0
    assert main(["demo", "--out", "d"]) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert main(["demo", "--out", "d", "--overwrite"]) == 0


@pytest.mark.parametrize(("error", "code"), [(GateError("weak"), 1), (KeyboardInterrupt(), 130)])
def test_a_demo_that_stops_leaves_nothing(demo, capfd, monkeypatch, error, code):
    def run(_seeds, out, _progress):
        (out / "half").touch()
        raise error

    monkeypatch.setattr(packaged, "run_demo", run)
    assert main(["demo", "--out", "d"]) == code
    assert capfd.readouterr().err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_organism_build_and_check_pass_on_what_they_are_given(capfd, monkeypatch, tmp_path):
    calls: list[object] = []

    def build(arch, out, *, seed, show_progress):
        calls.append((arch, out, seed, show_progress))
        return {"arch": arch, "seed": seed, "figures": {}, "differs": []}

    def calibrate(folder, seeds, _progress):
        calls.append((folder, list(seeds)))
        sys.stdout.write("a library's chatter\n")
        return {"organism": folder, "rows": []}

    monkeypatch.setattr("holdfast.organism.build", build)
    monkeypatch.setattr(packaged, "calibrate", calibrate)
    argv = ["organism", "build", "--arch", "qwen2", "--out", str(tmp_path / "q"), "--json"]
    assert main(argv) == 0
    assert json.loads(capfd.readouterr().out)["arch"] == "qwen2"
    assert main(["organism", "check", "q", "--seeds", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"organism": "q", "rows": []}
    assert calls == [("qwen2", tmp_path / "q", 0, False), ("q", [0, 1])]


def test_organism_refuses_what_is_unknown(capfd, tmp_path):
    assert main(["organism", "build", "--arch", "lama", "--out", str(tmp_path / "x")]) == 2
    assert "lama" in capfd.readouterr().err
    assert main(["organism", "check", str(tmp_path / "x")]) == 2
    assert str(tmp_path / "x") in capfd.readouterr().err
    assert main(["organism", "check", "--seeds", "0"]) == 2
    assert not (tmp_path / "x").exists()
