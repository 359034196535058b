"""A damaged checkpoint is passed over for the one before it, and is never read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from holdfast import SecurityVectors
from holdfast.errors import ConfigError, RunError
from holdfast.files.sealing.manifest import MANIFEST, damage
from tests.contract.probes import Planted
from tests.contract.recipes import data_rows
from tests.contract.runs import LORA, gap, new_folder, new_trainer, trained

SAVING: Any = {"save_strategy": "steps", "save_steps": 1}
LAST = "checkpoint-4"


@pytest.fixture(scope="module")
def written() -> Path:
    folder = new_folder()
    trained([Planted()], LORA, folder=folder, **SAVING)
    return folder


@pytest.fixture
def folder(written) -> Path:
    copy = new_folder()
    shutil.copytree(written, copy, dirs_exist_ok=True)
    return copy


def flip(file: Path, place: int = -1) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(bytes(content))


FILES = (
    "adapter_model.safetensors", "adapter_config.json", "optimizer.pt", "scheduler.pt",
    "rng_state.pth", "trainer_state.json", "training_args.bin", "defenses/planted.json",
    "defenses/planted.safetensors", MANIFEST,
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", ["flipped", "missing", "cut", "empty"])
def test_any_damage_to_any_file_is_found(folder, name, way):
    """Fault E6: one flipped bit in a checkpoint gave other weights at exit code 0."""
    file = folder / LAST / name
    if way == "flipped":
        flip(file, len(file.read_bytes()) // 2)
    elif way == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if way == "cut" else b"")
    assert damage(folder / LAST)
    assert not damage(folder / "checkpoint-3")


def test_a_strange_file_is_damage_and_hidden_ones_are_not(folder):
    """Fault E6: a pytorch_model.bin put into a checkpoint was read beside its weights."""
    (folder / LAST / ".DS_Store").touch()
    assert not damage(folder / LAST)
    (folder / LAST / "pytorch_model.bin").touch()
    assert damage(folder / LAST) == "pytorch_model.bin does not belong to it"


def resumed(folder: Path, wanted: Any = True) -> tuple[Any, list[str]]:
    trainer: Any = new_trainer([Planted()], LORA, folder=folder, **SAVING)
    said: list[str] = []
    trainer.say = said.append
    trainer.train(resume_from_checkpoint=wanted)
    weights = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    return weights, said


def test_the_one_before_is_taken_with_a_warning_and_the_weights_are_the_same(folder):
    """Fault E6: an edited global_step skipped steps at exit code 0."""
    state = folder / LAST / "trainer_state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "global_step": 2}))
    (folder / "checkpoint-3" / "optimizer.pt").unlink()
    weights, said = resumed(folder)
    whole = trained([Planted()], LORA).weights
    assert gap({n: weights[n] for n in whole}, whole) == 0
    assert said == [
        "warning: checkpoint-4: trainer_state.json was changed after it was written; it is passed "
        "over, going on from checkpoint-2",
        "warning: checkpoint-3: optimizer.pt is missing; it is passed over, going on from "
        "checkpoint-2",
    ]
    assert not damage(folder / LAST)  # Written anew: what did not belong is gone.


def test_where_none_is_whole_each_is_named(folder):
    """Fault E6: a damaged checkpoint ended as a fault of holdfast for ever."""
    for each in folder.glob("checkpoint-*"):
        flip(each / "rng_state.pth")
    with pytest.raises(ConfigError, match=r"checkpoint-4: rng_state\.pth.*checkpoint-1: rng_state"):
        resumed(folder)


def test_a_named_one_must_be_whole_and_another_is_offered(folder):
    """Fault E6: a checkpoint that was named was read whatever it held."""
    flip(folder / LAST / "adapter_model.safetensors")
    with pytest.raises(ConfigError, match=r"was changed after it was written: give .*checkpoint-3"):
        resumed(folder, str(folder / LAST))
    weights, said = resumed(folder, str(folder / "checkpoint-3"))
    assert said == []
    assert weights


def test_damage_to_what_is_kept_apart_is_found_too():
    """Fault E6: the JSON half of a private state was not looked at."""
    folder = new_folder()
    options: Any = {"max_harmful_nll": 1e9, "max_benign_kl": 1e9, "epochs": 1}
    vector = SecurityVectors(harmful=data_rows(), benign=data_rows(), **options)
    trained([vector], LORA, folder=folder, **SAVING)
    state = folder.with_name(f"{folder.name}-artifacts") / "state"
    assert not damage(folder / LAST, state)
    file = next(state.glob("*.json"))
    file.write_text(file.read_text() + " ")
    assert "was changed after it was written (artifacts_dir=" in damage(folder / LAST, state)


def test_the_best_checkpoint_is_looked_at_before_it_is_loaded():
    """Fault E6: load_best_model_at_end loaded a damaged best checkpoint."""
    folder = new_folder()

    class Damaging(TrainerCallback):
        def on_evaluate(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step == 4:
                flip(Path(state.best_model_checkpoint) / "adapter_model.safetensors")

    # The loss falls, so the first checkpoint has the greatest.
    how: Any = {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True,
                "metric_for_best_model": "eval_loss", "greater_is_better": True}  # fmt: skip
    trainer: Any = new_trainer([Planted()], LORA, folder=folder, **SAVING, **how)
    trainer.add_callback(Damaging())
    with pytest.raises(RunError, match=r"the best checkpoint .* cannot be loaded"):
        trainer.train()


def test_one_checkpoint_at_a_time_leaves_a_whole_one_at_every_moment():
    """Fault E6: with save_total_limit=1 the earlier one went before the new one was whole."""
    folder = new_folder()
    seen: list[list[str]] = []

    class Looking(TrainerCallback):
        def on_save(self, *_: Any, **__: Any) -> None:
            whole = [f for f in folder.glob("checkpoint-*") if not damage(f)]
            seen.append(sorted(f.name for f in whole))
            next(folder.glob("checkpoint-*")).joinpath("mine.txt").write_text("mine")

    trainer: Any = new_trainer([], LORA, folder=folder, save_total_limit=1, **SAVING)
    trainer.add_callback(Looking())
    trainer.train()
    assert seen == [[], ["checkpoint-1"], ["checkpoint-2"], ["checkpoint-3"]]
    assert [f.name for f in folder.glob("checkpoint-*")] == [LAST]
    assert trainer.args.save_total_limit == 1
    assert torch.load(folder / LAST / "training_args.bin", weights_only=False)
