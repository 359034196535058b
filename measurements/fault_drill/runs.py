"""The tuning run that is killed and damaged, and what is left of it."""

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from holdfast.cli.main import main
from holdfast.commands import tune as tuning
from measurements.fault_drill.worker import call

__all__ = ["RUN", "RUNS", "ended", "forked", "has_checkpoint", "model_in", "stopped"]

_ALL = ["tune", "--model", "model", "--data", "data.jsonl", "--output", "out", "--batch-size", "2",
        "--max-steps", "12", "--save-steps", "2", "--learning-rate", "1e-2", "--config",
        "options.yaml", "--chat-template", "template.jinja"]  # fmt: skip
_VECTOR = "security_vectors:epochs=1,max_harmful_nll=100,max_benign_kl=100"
RUNS = {
    "plain": [*_ALL, "--lora", "--lora-r", "2"],
    "vector": [*_ALL, "--harmful", "harmful.csv", "--benign", "data.jsonl", "--defense", _VECTOR],
}
RUN = RUNS["vector"]
LOG = "log.txt"


def forked(argv: Sequence[str], before: Callable[[], None] = lambda: None) -> int:
    """Start the command in a fork, in the folder of work, and return its process."""
    child = os.fork()
    if not child:
        code: object = 1
        try:
            before()
            code, _ = call(main, argv, Path(LOG))
        finally:
            os._exit(code if isinstance(code, int) else 70)
    return child


def ended(child: int, longest: float = 60.0) -> int | str:
    """Return the exit code of a fork, ``killed`` or, after ``longest`` seconds, ``hang``."""
    until = time.monotonic() + longest
    while time.monotonic() < until:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else "killed"
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hang"


def model_in(folder: Path) -> str:
    """Return the hash of a model's or adapter's tensors, "" where none is whole."""
    found = [f for f in folder.glob("*.safetensors") if not f.is_symlink()]
    if len(found) != 1:
        return ""
    try:
        tensors = load_file(found[0])
    except (SafetensorError, OSError, ValueError):
        return ""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a stopped run has something to go on from, or a model to put in place."""
    manifests = folder.glob(".out.partial/checkpoints/checkpoint-*/holdfast_manifest.json")
    return any(manifests) or (folder / ".out.swap").exists()


def stopped(base: Path, target: Path, argv: Sequence[str], step: int) -> None:
    """Make ``target`` a copy of ``base`` with a run in it that was killed after ``step``."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(base, target)
    os.chdir(target)

    def kill_later() -> None:
        def on_step_end(_self: Any, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == step:
                os.kill(os.getpid(), signal.SIGKILL)

        tuning._Bar.on_step_end = on_step_end  # type: ignore[method-assign]

    assert ended(forked(argv, kill_later)) == "killed", Path(LOG).read_text()
