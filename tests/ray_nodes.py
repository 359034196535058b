"""A Ray cluster of several nodes on this machine, started as a user would, each node a process."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = str(Path(__file__).parents[1])
LOOPS = sys.platform == "linux"  # Every address of 127.0.0.0/8 is this machine.


def environment():
    """Return this process's environment, in which new processes find what this one imports."""
    own = {
        "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, sys.path)]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_monitor_refresh_ms": "0",  # Or Ray ends workers where others fill the memory.
    }
    # By its options alone a node may have GPUs; with this variable it looks for them.
    inherited = {
        name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"
    }
    return {**inherited, **own}


@dataclass
class Nodes:
    """The nodes in order, the first of them the head."""

    folder: Path
    address: str = ""
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(self, options: str) -> subprocess.Popen:
        """Start one more node, of which a kill of its process group leaves nothing."""
        number = len(self.started) + 1
        # Ray makes 127.0.0.1 a public address, and two nodes of one address are one.
        where = f"--node-ip-address=127.0.0.{number + 1}" if LOOPS else ""
        head = f"--head --port=0 --include-dashboard=false --temp-dir={self.folder}"
        joins = f"--address={self.address}" if self.started else head
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        command += f"{joins} {where} --object-store-memory=80000000 {options}".split()
        log = self.folder / f"log-{number}"
        with log.open("w") as said:
            process = subprocess.Popen(
                command, env=environment(), stdout=said, stderr=said, start_new_session=True
            )
        self.started.append(process)
        until(lambda: "Ray runtime started" in log.read_text(), process, log)
        self.address = self.address or (self.folder / "ray_current_cluster").read_text().strip()
        return process

    def kill(self, number: int) -> None:
        """End a node as a loss of power would: all of its processes at once."""
        node = self.started[number]
        for process in [*psutil.Process(node.pid).children(recursive=True), node]:
            process.send_signal(signal.SIGKILL)
        node.wait(60)

    def busy(self, *numbers: int) -> list[psutil.Process]:
        """Return the workers that have a cell now, on all nodes or on these."""
        found = []
        for number, node in enumerate(self.started):
            if node.poll() is None and (not numbers or number in numbers):
                found += psutil.Process(node.pid).children(recursive=True)
        return [process for process in found if _works(process)]


def _works(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[:1] == ["ray::_in_worker"]
    except psutil.Error:
        return False


@contextmanager
def ray_nodes(options: Sequence[str]) -> Generator[Nodes]:
    """Start one node per string of options of ``ray start``, and end all that is left of them."""
    # Paths of sockets are short; pytest's own folders are too deep.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        nodes = Nodes(Path(folder))
        try:
            for one in options:
                nodes.start(one)
            yield nodes
        finally:
            for node in reversed(nodes.started):
                node.terminate()
            for node in nodes.started:
                node.wait(60)


def until(ready, process=None, log=None, seconds=600):
    """Wait for it; a process that ended, or the time, is a failure that shows the log."""
    end = time.monotonic() + seconds
    while not ready():
        told = log.read_text() if log else ""
        assert process is None or process.poll() is None, told
        assert time.monotonic() < end, told
        time.sleep(0.05)
