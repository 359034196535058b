"""The pool: what is done stays done, what fails stops no other, what is damaged is found."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holdfast.bench.bench import Bench, run_bench
from holdfast.bench.cell.run_cell import keep, read, result_file, run_cell
from holdfast.bench.pool.local import Executor, local_pool
from holdfast.bench.pool.runner import run_cells
from holdfast.bench.recipe.files import base_recipe
from holdfast.bench.recipe.grid import expand
from holdfast.errors import ConfigError, InputError
from holdfast.files.once import once
from holdfast.results.records import Answer, SeedRun

HELD = []  # What a worker keeps open as long as it lives.
TABLES = ("table.json", "table.csv")


def fake(cell, out):
    """Answer at once; where a file asks for it, seed 2 fails, 3 dies and 4 fills the disk."""
    HELD.append((out / f"worker-{os.getpid()}").open("a"))
    fcntl.lockf(HELD[-1], fcntl.LOCK_EX)
    with (out / "calls").open("a") as log:
        log.write(f"{cell.seed}\n")
    if cell.seed == 2 and (out / "fail").exists():
        raise ValueError("a planted fault")
    if cell.seed == 3 and (out / "die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if cell.seed == 4 and (out / "full").exists():
        fill_the_disk()
    if (out / "slow").exists():
        time.sleep(0.3)
    answer = Answer(
        id="a", kind="harmful", prompt="zorba ?", answer="mipde", refused=False, correct=False,
        outcome="harmful-correct" if cell.seed % 2 else "refused",
    )  # fmt: skip
    return SeedRun(seed=cell.seed, answers=[answer], seconds=time.time())


def fill_the_disk():
    """Let the next file that this process writes find no space left, as the system says it."""
    really = os.fsync

    def full(_):
        os.fsync = really
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.fsync = full


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


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path):
    bench = bench_of()
    run_bench(Bench(bench.recipe, bench.cells), tmp_path, 2, run=fake)
    whole = tables(tmp_path)
    for cell in bench.cells[3:]:
        result_file(cell, tmp_path).unlink()
    (tmp_path / "full").touch()
    _, outcome = run_bench(bench, tmp_path, 2, run=fake)
    (why,) = outcome.failed.values()
    assert "the disk is full: free some space; start the same command again" in why
    assert outcome.reused == 3
    assert {run.seed for run in outcome.runs.values()} == {0, 1, 2, 3, 5}
    assert {path.name for path in tmp_path.glob("cells/*/*")} == {"result.json"}
    assert (tmp_path / "result.json").exists()
    (tmp_path / "full").unlink()
    _, outcome = run_bench(bench, tmp_path, 2, run=fake)
    assert (outcome.reused, outcome.failed) == (5, {})
    assert tables(tmp_path) == whole


def test_a_second_bench_in_the_folder_is_refused_while_the_first_works(tmp_path):
    bench = bench_of(1)
    refused = []

    def again(*_):
        with pytest.raises(ConfigError, match="another run is writing it") as error:
            run_bench(bench, tmp_path, 1, run=fake)
        refused.append(error)

    _, outcome = run_bench(bench, tmp_path, 1, again, run=fake)
    assert refused
    assert not outcome.failed
    assert calls(tmp_path) == [0]
    run_bench(bench, tmp_path, 1, run=fake)  # The lock is gone with the first.


@pytest.mark.parametrize("exists", [True, False])
def test_results_that_are_not_here_are_told(tmp_path, exists):
    there = tmp_path / "another_node"

    class Elsewhere(ThreadPoolExecutor):
        def submit(self, work, cell, out, run):
            if exists:
                there.mkdir(exist_ok=True)
            return super().submit(work, cell, there, run)

    outcome = run_cells(
        bench_of(2).cells, tmp_path, 2, run=fake, executor=Executor(Elsewhere, tells_who=True)
    )
    assert len(outcome.failed) == 2
    assert all("a folder that all nodes see" in why for why in outcome.failed.values())
    assert there.exists() == exists  # Where there is none, no cell's hours are spent.


@pytest.mark.slow
def test_kill_9_loses_only_what_was_in_flight(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_bench(bench_of(8), whole, 2, run=fake)
    code = (
        "from pathlib import Path; from tests.unit.bench.pool.test_runner import *\n"
        "if __name__ == '__main__':\n"
        "    import sys; run_bench(bench_of(8), Path(sys.argv[1]), 2, run=fake)\n"
    )
    script = tmp_path / "start.py"
    script.write_text(code)
    root = str(Path(__file__).parents[4])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])}
    process = subprocess.Popen([sys.executable, str(script), str(cut)], env=environment)
    _wait((cut / "recipe.json").exists)
    (cut / "slow").touch()
    _wait(lambda: len(list(cut.glob("cells/*/result.json"))) >= 2)
    _wait(lambda: len(list(cut.glob("worker-*"))) == 2)  # Who comes later is not waited for below.
    process.kill()
    process.wait()
    _wait(lambda: not any(map(_lives, cut.glob("worker-*"))))  # They see that it is gone.
    done, begun = len(list(cut.glob("cells/*/result.json"))), len(calls(cut))
    assert 2 <= done < 8
    assert begun - done <= 2
    _, outcome = run_bench(bench_of(8), cut, 2, run=fake)
    assert (outcome.reused, outcome.warnings) == (done, [])
    assert len(calls(cut)) == begun + 8 - done
    assert tables(cut) == tables(whole)


def _lives(held):
    """Tell whether the worker that holds this file is there yet."""
    with held.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def late(path, begun):
    begun.touch()
    time.sleep(1)
    path.touch()


def test_an_error_ends_the_workers_before_they_write_more(tmp_path):
    with pytest.raises(KeyboardInterrupt), local_pool(1) as pool:  # noqa: PT012
        pool.submit(late, tmp_path / "late", tmp_path / "begun")
        _wait((tmp_path / "begun").exists)
        raise KeyboardInterrupt
    time.sleep(1.5)
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def _wait(ready):
    end = time.monotonic() + 600
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_folder_of_another_recipe_is_refused(tmp_path):
    run_bench(bench_of(2), tmp_path / "a", 1, run=fake)
    with pytest.raises(ConfigError, match="another recipe"):
        run_bench(bench_of(1), tmp_path / "a", 1, run=fake)
    (tmp_path / "a" / "recipe.json").write_text('{"sha')
    with pytest.raises(ConfigError, match="damaged: choose another"):
        run_bench(bench_of(1), tmp_path / "a", 1, run=fake)
    with pytest.raises(ConfigError, match="is a file"):
        run_bench(bench_of(1), tmp_path / "a" / "table.csv", 1, run=fake)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="no bench wrote"):
        run_bench(bench_of(1), tmp_path / "b", 1, run=fake)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["thesis.txt"]


def test_a_recipe_that_got_more_cells_goes_on_in_its_folder(tmp_path):
    run_bench(bench_of(1), tmp_path / "a", 1, run=fake)
    result, outcome = run_bench(bench_of(3), tmp_path / "a", 1, run=fake)
    assert (outcome.reused, calls(tmp_path / "a")) == (1, [0, 1, 2])
    assert [run.seed for arm in result.arms for run in arm.runs] == [0, 1, 2]


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
