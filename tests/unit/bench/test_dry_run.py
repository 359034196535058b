"""What a dry run says: of a folder that is whole, cut, published, or of other settings."""

import json
import re
import shutil
from pathlib import Path

import pytest

from holdfast.bench.bench import plan, run_bench
from holdfast.bench.cell.run_cell import result_file
from holdfast.bench.dry_run import outlook
from holdfast.cli import main
from holdfast.defenses import built_in
from holdfast.errors import ConfigError, InputError
from tests.unit.bench.pool.test_runner import bench_of, calls, fake

pytestmark = pytest.mark.thorough

PUBLISHED = Path(__file__).resolve().parents[3] / "results" / "bench"
TABLE = PUBLISHED / "table.csv"


@pytest.fixture(scope="module")
def full():
    return plan("full")


SUPERSEDED = 30
"""Published cells of `safe_lora`, of before the organism's true ancestor was its base: it had a
stand-in. `results/safe_lora` has them with the ancestor.
"""


@pytest.fixture(scope="module")
def published():
    return set(json.loads((PUBLISHED / "cells.json").read_text()))


@pytest.fixture(scope="module")
def later(full, published):
    """The cells of ``full`` that were published after the first 784."""
    return [cell for cell in full.cells if cell.key not in published]


def test_every_cell_of_the_full_recipe_is_published_in_one_of_its_parts(full, published, later):
    assert len(published) == 784
    assert len(published - {cell.key for cell in full.cells}) == SUPERSEDED
    parts = [*PUBLISHED.parent.glob("later*/cells.json"), PUBLISHED.parent / "safe_lora/cells.json"]
    also = {key for part in parts for key in json.loads(part.read_text())}
    assert {cell.key for cell in later} <= also


def test_a_dry_run_tells_which_published_cells_would_run_again(full, later, capfd):
    assert main(["bench", "full", "--out", str(PUBLISHED), "--dry-run"]) == 0
    shown, said = capfd.readouterr()
    total = len(full.cells)
    done = total - len(later)
    assert f"{done} of {total} cells are done in {PUBLISHED}, {len(later)} would run" in said
    assert shown.count("  (done)\n") == done


PUBLISHED_NAMES = {name for name in built_in() if re.search(rf"\b{name}\b", TABLE.read_text())}
"""Methods that the published bench has; the others came later."""


def test_the_methods_of_the_published_bench_are_found_in_its_table():
    assert {"none", "before"}.isdisjoint(PUBLISHED_NAMES)
    assert len(PUBLISHED_NAMES) >= 12


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(PUBLISHED_NAMES))
def test_a_changed_default_names_the_cells_that_would_run_again(full, later, name, monkeypatch):
    cls, stale = built_in()[name], {cell.key for cell in later}
    mine = {cell.key for cell in full.cells if any(spec.cls is cls for spec in cell.defenses)}
    config = cls.config
    monkeypatch.setattr(cls, "config", lambda self: {**config(self), "lately_added": 1})
    said, rows, lines = outlook(full, PUBLISHED)
    assert mine
    count, total = len(mine | stale), len(full.cells)
    assert sum(not row["done"] for row in rows) == count
    assert sum("(done)" not in line for line in lines) == count
    assert f"{total - count} of {total} cells are done" in said
    assert said.endswith(f"{count} would run – in another folder: this one is of other cells")
    with pytest.raises(ConfigError, match="another recipe"):
        run_bench(full, PUBLISHED, 1, run=fake)


@pytest.mark.slow
def test_a_folder_that_was_cut_short_tells_what_is_left(tmp_path):
    bench = bench_of(3)
    assert outlook(bench, tmp_path / "new")[0].startswith("0 of 3 cells are done")
    assert not (tmp_path / "new").exists()
    run_bench(bench, tmp_path, 1, run=fake)
    result_file(bench.cells[1], tmp_path).unlink()
    result_file(bench.cells[2], tmp_path).write_text("{}")
    said, rows, _ = outlook(bench, tmp_path)
    assert said == f"1 of 3 cells are done in {tmp_path}, 2 would run"
    assert [row["done"] for row in rows] == [True, False, False]


def test_a_result_copied_without_its_cells_stays_as_it_is(tmp_path):
    bench, there = bench_of(3), tmp_path / "published"
    result, _ = run_bench(bench, tmp_path / "run", 1, run=fake)
    shutil.copytree(tmp_path / "run", there, ignore=shutil.ignore_patterns("cells", "shared"))
    assert outlook(bench, there)[0].startswith("3 of 3 cells are done")
    again, outcome = run_bench(bench, there, 1, run=fake)
    assert (again, outcome.reused, outcome.failed) == (result, 3, {})
    assert calls(there) == calls(tmp_path / "run") == [0, 1, 2]
    with pytest.raises(ConfigError, match="another recipe"):
        run_bench(bench_of(2), there, 1, run=fake)
    (there / "cells.json").write_text(json.dumps([cell.key for cell in bench.cells[:2]]))
    assert outlook(bench, there)[0].endswith("1 would run")
    with pytest.raises(ConfigError, match="some of them failed: choose another folder"):
        run_bench(bench, there, 1, run=fake)
    (there / "cells.json").write_text("{")
    with pytest.raises(InputError, match=r"cells\.json is damaged"):
        outlook(bench, there)


def test_failed_cells_are_not_listed(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"sha256": bench_of().key}))
    (tmp_path / "fail").touch()
    _, outcome = run_bench(bench_of(), tmp_path, 2, run=fake)
    assert len(outcome.failed) == 1
    listed = json.loads((tmp_path / "cells.json").read_text())
    assert listed == [cell.key for cell in bench_of().cells if cell.key in outcome.runs]
    assert len(listed) == 5
