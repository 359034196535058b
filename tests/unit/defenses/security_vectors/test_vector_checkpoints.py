"""What lies on the disk while a full-parameter user is protected: served weights, never merged."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model
from tests.unit.defenses.security_vectors.killed_run import defense
from tests.unit.defenses.tiny_runs import farthest, lora, trainer_of, weights_of

ROOT = Path(__file__).parents[4]
EVERY = {"save_strategy": "steps", "save_steps": 2}


class Memory(TrainerCallback):
    """Copies of the weights in memory after each step."""

    __module__ = "holdfast.test"  # Only holdfast's own callbacks see what is attached.

    def __init__(self):
        self.at = {}

    def on_step_end(self, args, state, control, model=None, **_):
        self.at[state.global_step] = weights_of(model)


def deltas(vector, model):
    change = LowRank.from_tensors(vector)
    return {f"{n}.weight": change.change(n, m) for n, m in change.linears(model).items()}


def test_a_checkpoint_holds_merged_minus_delta(tmp_path):
    own, memory = defense(), Memory()
    trainer = trainer_of(tmp_path / "run", [own], **EVERY)
    trainer.add_callback(memory)
    trainer.train()
    saved = load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
    change = deltas(own.vector_, trainer.model)
    assert own.report_["attached"] == "merged"
    for name, merged in memory.at[2].items():
        wanted = merged - change[name] if name in change else merged
        assert torch.equal(saved[name], wanted), name
    far = max(float((saved[n] - memory.at[2][n]).abs().max()) for n in change)
    assert far > 1e-3
    last = load_file(tmp_path / "run" / "checkpoint-4" / "model.safetensors")
    assert farthest(last, weights_of(trainer.model)) < 1e-6  # What is served at the end.


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a run that was killed between two checkpoints."""
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed_run.py")
    threads = str(torch.get_num_threads())
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": threads},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    return folder


@pytest.mark.slow
def test_a_killed_run_leaves_no_jailbroken_model(killed):
    run = killed / "run"
    merged = [load_file(f) for f in sorted((killed / "notes").glob("*.safetensors"))]
    models = list(run.rglob("model.safetensors"))
    assert len(merged) == 3
    assert len(models) >= 2
    for file in run.rglob("*.safetensors"):
        tensors = load_file(file)
        for name, tensor in tensors.items():
            assert "lora_" not in name, file
            if name.endswith("_proj.weight"):
                assert not any(torch.equal(tensor, m[name]) for m in merged), (file, name)
    vector = killed / "run-artifacts" / "state"
    secrets = [t for f in vector.glob("*.safetensors") for t in load_file(f).values()]
    assert secrets  # Kept apart, so that the run can be resumed.
    shapes = {tuple(t.shape) for t in secrets}
    left = [t for f in run.rglob("*.safetensors") for t in load_file(f).values()]
    assert not any(tuple(t.shape) in shapes for t in left)
    assert {f.name for f in run.rglob("*.bin")} <= {"training_args.bin"}
    assert not any("lora" in f.name or "adapter" in f.name for f in run.rglob("*"))


def test_the_weights_in_a_killed_runs_checkpoint_are_served_ones(killed):
    """Loaded and given the vector again, the checkpoint is what was in memory."""
    saved = load_file(killed / "run" / "checkpoint-2" / "model.safetensors")
    merged = load_file(killed / "notes" / "merged-2.safetensors")
    [secret] = (killed / "run-artifacts" / "state").glob("security_vectors-*.safetensors")
    vector = {n.removeprefix("vector_/"): t for n, t in load_file(secret).items()}
    change = deltas(vector, tiny_model())
    put_back = {n: w + change[n] if n in change else w for n, w in saved.items()}
    assert farthest(put_back, merged) < 1e-6


@pytest.mark.parametrize("peft", [False, True])
def test_resume_is_exact(peft, tmp_path):
    def model():
        return lora(tiny_model()) if peft else tiny_model()

    whole = trainer_of(tmp_path / "run", [defense()], model=model(), **EVERY)
    whole.train()
    again = trainer_of(tmp_path / "run", [defense()], model=model(), **EVERY)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) == 0


def test_a_killed_run_resumes_to_the_uninterrupted_weights(killed, tmp_path):
    again = trainer_of(killed / "run", [defense()])
    again.train(resume_from_checkpoint=str(killed / "run" / "checkpoint-2"))
    whole = trainer_of(tmp_path, [defense()])
    whole.train()
    # Sums may round otherwise in another process; bit for bit is tested within one, above.
    assert farthest(weights_of(whole.model), weights_of(again.model)) < 1e-4


def test_a_lora_users_checkpoint_has_only_the_users_adapter(tmp_path):
    trainer = trainer_of(tmp_path / "run", [defense()], model=lora(tiny_model()), **EVERY)
    trainer.train()
    checkpoint = tmp_path / "run" / "checkpoint-4"
    saved = load_file(checkpoint / "adapter_model.safetensors")
    users = {n.replace(".default", ""): p.detach() for n, p in trainable(trainer.model).items()}
    assert farthest(saved, users) == 0
    assert not (checkpoint / "model.safetensors").exists()
