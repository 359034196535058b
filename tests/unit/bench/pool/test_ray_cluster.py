"""The same cells on a Ray cluster of two nodes; skipped where Ray is not installed."""

import importlib
import os
import signal
import socket
import sys
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.bench.bench import run_bench
from holdfast.bench.pool import ray_nodes, ray_tasks
from holdfast.bench.pool.executors import opened
from holdfast.bench.pool.place import Place
from holdfast.bench.pool.ray_cluster import _Short, ray_cluster
from holdfast.errors import ConfigError, RunError
from tests.ray_nodes import ray_nodes as started
from tests.ray_nodes import until
from tests.unit.bench.pool.test_runner import bench_of, calls, fake, tables

RAY = Place("ray")


def where(cell, out):
    """Answer as ``fake`` does, and say which node and which GPU that was."""
    ray = importlib.import_module("ray")
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    with (out / "where").open("a") as log:
        log.write(f"{ray.util.get_node_ip_address()} {seen!r}\n")
    return fake(cell, out)


@pytest.fixture
def cluster(monkeypatch):
    """Start two nodes, name the first in RAY_ADDRESS, and keep one connection for all of a test."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'holdfast[ray]'")
    with started(["--num-cpus=1", "--num-cpus=1 --num-gpus=1"]) as nodes:
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        with ray_cluster(RAY):  # Workers are a connection's own, and start slowly.
            yield nodes


@pytest.mark.slow
def test_ray_gives_the_local_pools_table_and_survives_dead_workers(
    cluster, tmp_path, monkeypatch, capfd
):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # Ray's own would end it in silence.
    bench = bench_of()
    run_bench(bench, tmp_path / "local", 1, run=fake)
    monkeypatch.chdir(tmp_path)
    there = Path("ray")  # A task has another working directory than the bench.
    there.mkdir()
    (there / "recipe.json").write_bytes((tmp_path / "local" / "recipe.json").read_bytes())
    for plant in ("fail", "die"):
        (there / plant).touch()
    _, outcome = run_bench(bench, there, 2, run=where, place=RAY)
    cells = {cell.seed: cell.key for cell in bench.cells}
    assert set(outcome.failed) == {cells[2], cells[3]}
    assert outcome.failed[cells[2]] == "ValueError: a planted fault"
    assert "worker died twice" in outcome.failed[cells[3]]
    assert "of the cluster's 1 GPUs, `gpus_per_cell=0` takes none" in outcome.warnings[0]
    assert calls(there) == [0, 1, 2, 3, 3, 4, 5]  # Nobody else's cell is run again.
    nodes, seen = zip(*map(str.split, (there / "where").read_text().splitlines()), strict=True)
    assert len(set(nodes)) == 2
    assert set(seen) == {"''"}
    for plant in ("fail", "die"):
        (there / plant).unlink()
    half = Place("ray", cpus_per_cell=0.5, gpus_per_cell=0.5)
    _, outcome = run_bench(bench, there, 2, run=where, place=half)
    assert (outcome.reused, outcome.failed, outcome.warnings) == (4, {}, [])
    assert tables(there) == tables(tmp_path / "local")
    assert (there / "where").read_text().splitlines()[-2:] == ["127.0.0.3 '0'"] * 2
    with pytest.raises(
        ConfigError, match=r"no node .* has 2 CPUs for a cell .* 1 CPU; 1 CPU and 1 GPU"
    ):
        run_bench(bench, there, 2, run=fake, place=Place("ray", cpus_per_cell=2))
    assert capfd.readouterr().out == ""  # What a table is printed to.


def test_a_node_of_other_versions_does_no_work(monkeypatch):
    done = []
    ours = ray_tasks._deciding()
    ray_tasks._in_worker(ours, True, done.append, 1)
    newer = {"torch": f"{ours['torch']}+cu130"}
    monkeypatch.setattr(ray_tasks, "versions", lambda: ours | newer)
    ray_tasks._in_worker(ours, True, done.append, 2)  # A build for GPUs is the same torch.
    monkeypatch.setattr(ray_tasks, "versions", lambda: ours | {"peft": "0.0.0"})
    with pytest.raises(
        RunError, match=r"has peft 0\.0\.0 and the bench is of .*: install the same"
    ):
        ray_tasks._in_worker(ours, True, done.append, 3)
    assert done == [1, 2]


class Cluster:
    """What is asked of Ray, with nodes that can go while work waits for them."""

    def __init__(self, *nodes):
        self.exceptions = SimpleNamespace(
            RayTaskError=KeyError, WorkerCrashedError=OSError, NodeDiedError=OSError,
            OutOfMemoryError=OSError,
        )  # fmt: skip
        self.held, self.cancelled = list(nodes), []

    def nodes(self):
        return [{"Resources": node, "Alive": True} for node in self.held]

    def remote(self, **_):
        return lambda _: SimpleNamespace(remote=lambda *_: _Waiting())

    def cancel(self, reference, force):
        assert force
        self.cancelled.append(reference)


class _Waiting:
    def future(self):
        return SimpleNamespace(add_done_callback=lambda _: None)


def test_work_that_no_node_is_left_for_has_failed_and_waits_no_longer(monkeypatch):
    monkeypatch.setattr(ray_nodes, "PATIENCE", 0.05)
    cluster = Cluster({"CPU": 8.0}, {"CPU": 2.0, "GPU": 1.0})
    with ray_tasks.tasks(cluster, Place("ray", gpus_per_cell=1), 1) as pool:
        answer = pool.submit(print)
        until(lambda: len(cluster.held) == 2)
        assert not answer.done()
        del cluster.held[1]
        with pytest.raises(RunError, match="no node with 1 CPU and 1 GPU is left in the cluster"):
            answer.result(60)
    assert len(cluster.cancelled) == 1


def test_what_ray_prints_of_a_node_is_a_line_among_the_messages(capsys):
    with redirect_stdout(_Short()):
        print("\x1b[33m(raylet)\x1b[0m Raylet is terminated:\n  [state-dump]\n  [state-dump]")  # noqa: T201
    assert capsys.readouterr() == ("", "(raylet) Raylet is terminated:\n")


def test_an_error_stops_what_is_in_flight():
    cluster = Cluster({"CPU": 8.0})
    with pytest.raises(KeyboardInterrupt), ray_tasks.tasks(cluster, RAY, 2) as pool:  # noqa: PT012
        pool.submit(print)
        pool.submit(print)
        raise KeyboardInterrupt
    assert len(cluster.cancelled) == 2


def test_without_a_cluster_or_without_ray_it_says_how_to_get_one(tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[ray\]'"):
        run_bench(bench_of(1), out, 1, run=fake, place=RAY)
    monkeypatch.undo()
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'holdfast[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free}")
    # Ray's own search for a cluster would take its time to say less.
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("ray looked for a cluster"))
    with pytest.raises(ConfigError, match=f"at RAY_ADDRESS=127.0.0.1:{free}: start one with 'ray"):
        run_bench(bench_of(1), out, 1, run=fake, place=RAY)
    assert not out.exists()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place("rya"), r"known: local, ray. Did you mean 'ray'\?"),
        (Place("ray", cpus_per_cell=0), "`cpus_per_cell=0` is out of range, expected more than 0"),
        (Place("ray", cpus_per_cell=float("nan")), "`cpus_per_cell=nan` is out of range"),
        (Place("ray", cpus_per_cell=0.00001), "in steps of 0.0001"),
        (Place("ray", gpus_per_cell=2), "`gpus_per_cell=2` is .* share of one GPU from 0 to 1"),
        (Place("ray", gpus_per_cell=-0.5), "`gpus_per_cell=-0.5` is out of range"),
        (Place(gpus_per_cell=0.5), "`gpus_per_cell=0.5` needs `executor=ray`: on this machine"),
        (Place(cpus_per_cell=2), "`cpus_per_cell=2` needs `executor=ray`"),
    ],
)
def test_a_place_that_cannot_be_is_refused(place, said):
    with pytest.raises(ConfigError, match=said), opened(place):
        pytest.fail("it was opened")
