"""``holdfast tune`` in two processes of a launcher: one whole model, also after a death."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from holdfast.cli import main
from tests.tiny import tiny_examples, tiny_model, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-6
"""Gradients of two processes are summed in another order; SGD divides by no small number."""
PLAIN = ("--set", "optim=sgd", "--learning-rate", "0.1", "--save-steps", "2")
DEFENDED = (
    "--defense", "panacea:mode=in-loop,rho=0.1,lam=0.1,batch_size=3", "--harmful", "harmful.jsonl",
    "--defense", "safe_mixing:share=0.5", "--safe", "harmful.jsonl",
)  # fmt: skip
pytestmark = pytest.mark.slow
engines = pytest.mark.engines


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a model, rows, and the one-process model of each command."""
    folder = tmp_path_factory.mktemp("torchrun")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    for name, rows in (
        ("rows", tiny_examples(48)),
        ("harmful", tiny_examples(54).select(range(48, 54))),
    ):
        lines = (json.dumps(dict(row)) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture
def here(inputs, tmp_path, monkeypatch):
    for path in inputs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*more, steps=6, batch=2, output="out"):
    given = {"model": "model", "data": "rows.jsonl", "output": output, "max-steps": str(steps)}
    flags = [word for name, value in given.items() for word in (f"--{name}", value)]
    return ["tune", *flags, "--batch-size", str(batch), *PLAIN, *more]


def environment():
    own = {k: v for k, v in os.environ.items() if not k.startswith(("ACCELERATE", "TORCHELASTIC"))}
    return own | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}


def launched(words, *options, program=("-m", "holdfast"), launcher="torch.distributed.run"):
    """Run a command in two processes; return its exit code, output, errors and seconds."""
    start = time.monotonic()
    how = ["--nproc_per_node", "2", "--standalone"] if "torch" in launcher else []
    line = [sys.executable, "-m", launcher, *how, *options, *program, *words]
    done = subprocess.run(
        line, capture_output=True, text=True, env=environment(), timeout=150, check=False
    )
    return done.returncode, done.stdout, done.stderr, time.monotonic() - start


def told(stderr):
    """Return the lines that are holdfast's own: one where a run failed."""
    return [line for line in stderr.splitlines() if line.startswith(("error:", "interrupted:"))]


def dying(rank, step, end):
    return (str(ROOT / "tests" / "dying.py"), str(rank), str(step), end)


def apart(one, other):
    left, right = (load_file(Path(name) / "model.safetensors") for name in (one, other))
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def names(folder="."):
    return {path.name for path in Path(folder).iterdir() if not path.is_symlink()}


def test_two_processes_end_with_the_model_of_one(here):
    assert main(command(*DEFENDED, batch=4, output="one")) == 0
    code, out, err, _ = launched([*command(*DEFENDED), "--json"])
    assert code == 0, err
    assert json.loads(out)["output"] == "out"  # One process speaks.
    assert names() == {"one", "out"} | {n for n in names() if n.endswith("-artifacts")}
    assert names("one") == names("out")
    assert names("one-artifacts") == names("out-artifacts")
    moved = apart("one", "model")
    assert apart("one", "out") <= TOLERANCE < moved


@engines
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_takes_the_run_down_and_leaves_it_resumable(here, rank):
    code, _, err, seconds = launched(command(), program=dying(rank, 3, "kill"))
    assert code != 0
    (line,) = told(err)
    assert "checkpoint-2 is kept" in line
    assert seconds < 60 + 60  # Of these the imports of two processes on a busy machine take most.
    assert launched([*command(), "--resume"])[0] == 0
    assert main(command(batch=4, output="one")) == 0
    assert apart("one", "out") <= TOLERANCE


@engines
def test_a_run_resumed_after_a_kill_is_bit_for_bit_the_one_never_killed(here):
    launched(command(*DEFENDED), program=dying(1, 3, "kill"))
    assert launched([*command(*DEFENDED), "--resume"])[0] == 0
    assert launched(command(*DEFENDED, output="whole"))[0] == 0
    assert apart("whole", "out") == 0


@engines
def test_a_stopped_run_does_not_go_on_in_another_number_of_processes(here, capsys):
    """It took half as many rows a step, some of them for the second time, without a word."""
    launched(command(), program=dying(1, 3, "kill"))
    assert main([*command(), "--resume"]) == 2
    assert "number of processes was 2 and is now 1" in capsys.readouterr().err
    assert launched([*command(), "--resume"])[0] == 0


@engines
def test_an_elastic_restart_finishes_the_run(here):
    code, _, err, _ = launched(command(), "--max-restarts", "1", program=dying(1, 3, "kill"))
    assert code == 0, err
    assert main(command(batch=4, output="one")) == 0
    assert apart("one", "out") <= TOLERANCE


@engines
def test_a_killed_launcher_leaves_no_orphan_and_a_resumable_run(here):
    code, _, err, _ = launched(command(steps=100), program=dying(1, 3, "driver"))
    assert code == -signal.SIGKILL
    until = time.monotonic() + 60
    while any(".lock" in name for name in names()) and time.monotonic() < until:
        time.sleep(0.2)
    assert [n for n in names() if n.endswith(".partial")] == [".out.partial"] or told(err)
    assert names() >= {".out.partial"}
    assert "out" not in names()
    assert launched([*command(steps=100), "--resume"])[0] == 0
    assert main(command(steps=100, batch=4, output="one")) == 0
    assert apart("one", "out") <= 10 * TOLERANCE  # A hundred steps.


@engines
def test_a_reason_that_one_process_has_is_told_once_by_the_first(here):
    code, _, err, _ = launched(command(), program=dying(1, 3, "nan"))
    assert code != 0
    (line,) = told(err)
    assert "process 1: the loss became NaN or infinite at step 3" in line
    assert "checkpoint-2 is kept" in line


@engines
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_hangs_is_waited_for_as_long_as_was_asked_and_named(here, rank):
    patience = ("--set", "ddp_timeout=10")
    code, _, err, _ = launched(command(*patience), program=dying(rank, 3, "hang"))
    assert code != 0
    (line,) = told(err)
    assert f"process {rank} does not come to where the others wait" in line
    assert "checkpoint-2 is kept" in line
    assert launched([*command(*patience), "--resume"])[0] == 0


@engines
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (command("--set", "nonsense=1"), "nonsense"),
        (["evaluate", "--model", "model", "--test-task", "rows.jsonl", "--output", "out"],
         "2 processes were started as one run"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_once_and_nothing_is_written(here, words, said):
    code, out, err, _ = launched(words)
    assert code != 0
    (line,) = told(err)
    assert said in line
    codes = re.findall(r"exitcode  : (-?\d+)", err)
    assert "2" in codes
    # On a busy machine the launcher ends the slower process before it has said the same.
    assert set(codes) <= {"2", "-15"}
    assert not out
    assert not names()
