"""The pool: what is done stays done, what fails stops no other, what is damaged is found."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.bench.bench import Bench, run_bench
from holdfast.bench.cells import keep, once, read, result_file, run_cell
from holdfast.bench.grid import expand
from holdfast.bench.recipe_files import base_recipe
from holdfast.bench.runner import run_cells
from holdfast.errors import ConfigError, InputError
from holdfast.report.records import Answer, SeedRun

TABLES = ("table.json", "table.csv")


def fake(cell, out):
    """Answer at once; seed 2 fails and seed 3 takes its worker down, where a file asks for it."""
    with (out / "calls").open("a") as log:
        log.write(f"{cell.seed}\n")
    if cell.seed == 2 and (out / "fail").exists():
        raise ValueError("a planted fault")
    if cell.seed == 3 and (out / "die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if (out / "slow").exists():
        time.sleep(0.3)
    answer = Answer(
        id="a", kind="harmful", prompt="zorba ?", answer="mipde", refused=False, correct=False,
        outcome="harmful-correct" if cell.seed % 2 else "refused",
    )  # fmt: skip
    return SeedRun(seed=cell.seed, answers=[answer], seconds=time.time())


def bench_of(seeds=6, **changes):
    small = {"defender_rows": 8, "benign_rows": 8, "validation_rows": 4, "items_per_kind": 2}
    recipe = {**base_recipe(), **small, "seeds": seeds, **changes}
    return Bench(recipe, expand(recipe))


def tables(out):
    return [(out / name).read_bytes() for name in TABLES]


def calls(out):
    return sorted(int(line) for line in (out / "calls").read_text().split())


def test_done_cells_are_kept_and_damaged_ones_named_and_run_again(tmp_path):
    bench = bench_of()
    _, first = run_bench(bench, tmp_path, 2, run=fake)
    before = tables(tmp_path)
    assert len(first.runs) == 6
    damaged = [result_file(cell, tmp_path) for cell in bench.cells[:3]]
    damaged[0].write_text('{"half": ')
    damaged[1].write_text(damaged[1].read_text().replace("mipde", "mipdf"))
    damaged[2].write_bytes(result_file(bench.cells[3], tmp_path).read_bytes())
    _, second = run_bench(bench, tmp_path, 2, run=fake)
    assert second.reused == 3
    assert all(str(path) in warning for path, warning in zip(damaged, second.warnings, strict=True))
    assert all("runs again" in warning for warning in second.warnings)
    assert calls(tmp_path) == [0, 0, 1, 1, 2, 2, 3, 4, 5]
    assert tables(tmp_path) == before


def test_a_failing_and_a_dying_cell_stop_no_other(tmp_path):
    bench = bench_of()
    for plant in ("fail", "die"):
        (tmp_path / plant).touch()
    outcome = run_cells(bench.cells, tmp_path, 2, run=fake)
    cells = {cell.seed: cell for cell in bench.cells}
    assert set(outcome.failed) == {cells[2].key, cells[3].key}
    assert "a planted fault" in outcome.failed[cells[2].key]
    assert "worker died" in outcome.failed[cells[3].key]
    assert {run.seed for run in outcome.runs.values()} == {0, 1, 4, 5}
    for plant in ("fail", "die"):
        (tmp_path / plant).unlink()
    assert not run_cells(bench.cells, tmp_path, 2, run=fake).failed


def test_kill_9_loses_only_what_was_in_flight(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_bench(bench_of(8), whole, 2, run=fake)
    code = (
        "from pathlib import Path; from tests.unit.bench.test_runner import *\n"
        "if __name__ == '__main__':\n"
        "    import sys; run_bench(bench_of(8), Path(sys.argv[1]), 2, run=fake)\n"
    )
    script = tmp_path / "start.py"
    script.write_text(code)
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    process = subprocess.Popen([sys.executable, str(script), str(cut)], env=environment)
    _wait((cut / "recipe.json").exists)
    (cut / "slow").touch()
    _wait(lambda: len(list(cut.glob("cells/*/result.json"))) >= 2)
    process.kill()
    process.wait()
    time.sleep(1)  # Its workers see that it is gone.
    done, begun = len(list(cut.glob("cells/*/result.json"))), len(calls(cut))
    assert 2 <= done < 8
    assert begun - done <= 2
    _, outcome = run_bench(bench_of(8), cut, 2, run=fake)
    assert (outcome.reused, outcome.warnings) == (done, [])
    assert len(calls(cut)) == begun + 8 - done
    assert tables(cut) == tables(whole)


def _wait(ready):
    end = time.monotonic() + 90
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_folder_of_another_recipe_is_refused(tmp_path):
    run_bench(bench_of(1), tmp_path / "a", 1, run=fake)
    with pytest.raises(ConfigError, match="another recipe"):
        run_bench(bench_of(2), tmp_path / "a", 1, run=fake)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="no bench wrote"):
        run_bench(bench_of(1), tmp_path / "b", 1, run=fake)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["thesis.txt"]


def test_shared_stages_are_made_once_by_parallel_askers(tmp_path):
    made = []

    def make(target):
        made.append(target)
        time.sleep(0.1)
        target.write_text("whole")

    path = tmp_path / "shared" / "map.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: once(path, make), range(4)))
    assert len(made) == 1
    assert path.read_text() == "whole"
    assert made[0] != path


def test_a_real_tiny_cell_runs_twice_alike(tmp_path):
    cell = bench_of(1, defenses=["safe_mixing:share=0.2"], steps=[2], rows=[16]).cells[0]
    first, second = run_cell(cell, tmp_path), run_cell(cell, tmp_path)
    assert first.answers == second.answers
    assert first.losses == second.losses
    keep(cell, first, tmp_path)
    assert read(cell, tmp_path) == first
    result_file(cell, tmp_path).write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        read(cell, tmp_path)
