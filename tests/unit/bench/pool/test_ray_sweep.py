"""Real cells on two nodes, from the command line: killed, stopped, a node lost, the same table."""

import csv
import json
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from holdfast.bench.bench import plan, run_bench
from tests.ray_nodes import environment, ray_nodes, until

pytestmark = [pytest.mark.engines, pytest.mark.slow]

RECIPE = """
defenses: [before, none, "safe_mixing:share=0.1", "panacea:rho=0.5,batch_size=25"]
steps: [3]
rows: [32]
seeds: 3
items_per_kind: 4
defender_rows: 24
benign_rows: 24
validation_rows: 4
"""
CELLS = 10  # The model as it was is one cell, whatever the seeds.
SAME = ("table.json", "table.csv")
COSTS = {"relative_time", "relative_memory"}
TIMES = COSTS | {"seconds", "cpu_seconds", "peak_memory_gib", "created", "warnings"}


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_a_sweep_that_all_befalls_has_the_process_pools_table(recipe, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'holdfast[ray]'")
    out, local = tmp_path / "ray", tmp_path / "local"
    run_bench(plan(recipe), local, 1)
    with ray_nodes(["--num-cpus=1", "--num-cpus=1"]) as nodes:
        with started(recipe, out, nodes) as (driver, log):  # Killed with -9.
            until(lambda: len(done(out)) >= 2 and nodes.busy(), driver, log)
            driver.kill()
            driver.wait()
        until(lambda: not nodes.busy(), seconds=60)  # Nobody works on for one that is gone.
        first = done(out)
        assert 2 <= len(first) < CELLS

        with started(recipe, out, nodes) as (driver, log):  # Ctrl-C.
            until(lambda: len(done(out)) >= len(first) + 2 and nodes.busy(), driver, log)
            driver.send_signal(signal.SIGINT)
            assert driver.wait(120) == 130
            (line,) = [line for line in log.read_text().splitlines() if "interrupted" in line]
            assert line == f"interrupted: done cells are kept in {out}; the same command goes on"
            assert "Traceback" not in log.read_text()
        until(lambda: not nodes.busy(), seconds=60)
        second = done(out)
        assert len(second) < CELLS

        with started(recipe, out, nodes) as (driver, log):  # A node without power.
            until(lambda: len(done(out)) > len(second) and nodes.busy(1), driver, log)
            nodes.kill(1)
            assert driver.wait(600) == 0, log.read_text()
            assert "a worker died; " in log.read_text()
            assert "[state-dump]" not in log.read_text()
    last = done(out)
    assert len(last) == CELLS
    assert {key: last[key] for key in first} == first  # Nothing done was done again.
    assert {key: last[key] for key in second} == second
    for name in SAME:
        assert (out / name).read_bytes() == (local / name).read_bytes(), name
    for name in ("result.json", "comparisons.json"):
        assert untimed(out / name) == untimed(local / name), name
    assert costless(out / "worst_case.csv") == costless(local / "worst_case.csv")


@contextmanager
def started(recipe, out, nodes):
    """Run ``holdfast bench`` on the cluster; yield its process, and the file of what it says."""
    log = out.with_name("log")
    code = "import sys; from holdfast.cli import main; sys.exit(main())"
    argv = ["bench", recipe, "--out", str(out), "--executor", "ray", "--workers", "2"]
    with log.open("w") as said:
        driver = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            env=environment() | {"RAY_ADDRESS": nodes.address}, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield driver, log
    finally:
        driver.kill()
        driver.wait()


def done(out):
    """Return when each cell's result was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in out.glob("cells/*/result.json")}


def untimed(path):
    """Return a result without what counts time and memory, or tells of what befell it."""

    def kept(value):
        if isinstance(value, dict):
            return {key: kept(one) for key, one in value.items() if key not in TIMES}
        return [kept(one) for one in value] if isinstance(value, list) else value

    return kept(json.loads(path.read_text()))


def costless(path):
    """Return the rows of a table without its columns of cost."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() >= COSTS
    return [{key: one for key, one in row.items() if key not in COSTS} for row in rows]
