"""What is published loads, and is written again with the same keys and values."""

import json
from pathlib import Path

import pytest

from holdfast.claims.judge import load_judged, write_claims
from holdfast.comparisons.exports import write_bench_tables
from holdfast.results.result import SCHEMA_VERSION, RunResult

ROOT = Path(__file__).resolve().parents[3] / "results"
FILES = [path for path in ROOT.rglob("*.json") if "schema_version" in json.loads(path.read_text())]
RESULTS = [path for path in FILES if "arms" in json.loads(path.read_text())]
"""Choices and frozen prompts have schemas of their own."""
BENCH = ROOT / "bench"


def figures_of(path):
    """All that a file holds, whatever its schema; what defenses say of a run is version 2's own."""
    found = json.loads(path.read_text())
    assert found.pop("schema_version") <= SCHEMA_VERSION
    for run in (run for arm in found["arms"] for run in arm["runs"]):
        del run["diagnostics"]
    return found


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_a_published_result_is_written_as_it_was_read(path, tmp_path):
    again = RunResult.load(path).save(tmp_path / "result.json")
    assert figures_of(again) == figures_of(path)


@pytest.mark.parametrize("folder", sorted(ROOT.rglob("claims")), ids=str)
def test_published_claims_are_written_as_they_were_read(folder, tmp_path):
    for path in write_claims(load_judged(folder), tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_the_published_tables_are_those_of_the_published_result(tmp_path):
    summary = RunResult.load(BENCH / "result.json").bench
    assert summary is not None
    write_bench_tables(summary, tmp_path)
    for name in ("worst_case.csv", "fronts.csv", "equal_accuracy.csv"):
        assert (tmp_path / name).read_bytes() == (BENCH / name).read_bytes()
