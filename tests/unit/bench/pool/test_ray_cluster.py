"""The same cells on a local Ray cluster with two CPUs; skipped where Ray is not installed."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from holdfast.bench.bench import run_bench
from holdfast.bench.pool import ray_cluster
from holdfast.bench.pool.executors import opened
from holdfast.bench.pool.runner import run_cells
from holdfast.errors import ConfigError
from tests.unit.bench.pool.test_runner import bench_of, calls, fake, tables

NODE = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"  # Ray makes 127.0.0.1 public.


@pytest.fixture
def cluster(monkeypatch):
    """Start a cluster as a user would, and name it in RAY_ADDRESS."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'holdfast[ray]'")
    # Paths of sockets are short; pytest's own folders are too deep.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        root = str(Path(__file__).parents[4])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([root, *sys.path]),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        options = (
            f"--head --block --node-ip-address={NODE} --port=0 --num-cpus=2 "
            f"--include-dashboard=false --object-store-memory=80000000 --temp-dir={folder}"
        )
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options.split()]
        log = Path(folder) / "log"
        with log.open("w") as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            monkeypatch.setenv("RAY_ADDRESS", _address(Path(folder), process, log))
            yield
        finally:
            process.terminate()
            process.wait(60)


def _address(folder, process, log):
    end = time.monotonic() + 600
    while "Ray runtime started" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    return (folder / "ray_current_cluster").read_text().strip()


@pytest.mark.slow
def test_ray_gives_the_local_pools_table_and_survives_dead_workers(cluster, tmp_path, monkeypatch):
    bench = bench_of()
    run_bench(bench, tmp_path / "local", 1, run=fake)
    monkeypatch.chdir(tmp_path)
    there = Path("ray")  # A task has another working directory than the bench.
    there.mkdir()
    (there / "recipe.json").write_bytes((tmp_path / "local" / "recipe.json").read_bytes())
    for plant in ("fail", "die"):
        (there / plant).touch()
    _, outcome = run_bench(bench, there, 2, run=fake, executor="ray")
    cells = {cell.seed: cell.key for cell in bench.cells}
    assert set(outcome.failed) == {cells[2], cells[3]}
    assert outcome.failed[cells[2]] == "ValueError: a planted fault"
    assert "worker died twice" in outcome.failed[cells[3]]
    assert calls(there) == [0, 1, 2, 3, 3, 4, 5]  # Nobody else's cell is run again.
    for plant in ("fail", "die"):
        (there / plant).unlink()
    _, outcome = run_bench(bench, there, 2, run=fake, executor="ray")
    assert (outcome.reused, outcome.failed) == (4, {})
    assert tables(there) == tables(tmp_path / "local")
    monkeypatch.setattr(ray_cluster, "versions", lambda: {"holdfast": "0.0.0"})
    with opened("ray") as executor:
        outcome = run_cells(bench.cells[:1], tmp_path, 1, run=fake, executor=executor)
    (why,) = outcome.failed.values()
    assert "the bench is 0.0.0: install the same one on every node" in why


def test_without_a_cluster_or_without_ray_it_says_how_to_get_one(tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[ray\]'"):
        run_bench(bench_of(1), out, 1, run=fake, executor="ray")
    monkeypatch.undo()
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'holdfast[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free}")
    # Ray's own search for a cluster would take its time to say less.
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("ray looked for a cluster"))
    with pytest.raises(ConfigError, match=f"at RAY_ADDRESS=127.0.0.1:{free}: start one with 'ray"):
        run_bench(bench_of(1), out, 1, run=fake, executor="ray")
    assert not out.exists()
