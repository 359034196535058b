"""A run under FSDP2 ends where one process ends, or is refused before step 0.

``Trainer``, accelerate and ``fully_shard`` are the real ones; ``tests.fsdp_on_cpu`` says how they
shard without a GPU.
"""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType

from holdfast.artifact import load_state
from holdfast.defense import Capability
from holdfast.errors import ConfigError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.engines.fsdp2 import FSDP2Engine
from holdfast.ops.engines.sharded import is_sharded, whole
from holdfast.testing.runs import FULL, Setting, new_trainer, trained
from holdfast.training.distributed.engines import engine_for
from holdfast.training.distributed.sharding import fsdp_limits
from tests.contract.recipes import recipes
from tests.distributed import in_processes
from tests.fsdp_on_cpu import ARGUMENTS, allow_fsdp

LORA = Setting(tuning="lora")
RECIPES = {recipe.label: recipe for recipe in recipes()}
CLOSE = 3e-5
"""Largest difference of a weight after four steps of AdamW at 1e-2: plain's own is 1e-5."""


def ends(setting, labels, **options):
    """Return the weights and the artifacts' tensors at the end of each run."""
    out = {}
    for label in labels:
        trainer = new_trainer([RECIPES[label]()], setting, **options)
        trainer.train()
        kept = [t for artifact in trainer.artifacts for t in artifact.tensors.values()]
        assert not any(is_sharded(t) for tensors in kept for t in tensors.values())
        made = {f"made/{k}": t for tensors in kept for k, t in tensors.items()}
        found = dict(trainer.model.named_parameters()) | made
        out[label] = {n: whole(t.detach()).clone() for n, t in found.items()}
    return out


def ends_sharded(setting, labels, **options):
    with pytest.MonkeyPatch.context() as patch:
        allow_fsdp(patch)
        return ends(setting, labels, **options, **ARGUMENTS)


@pytest.mark.parametrize(
    ("setting", "labels"),
    [
        (FULL, ["panacea-in-loop", "lisa", "safe_lora-all", "resta-dare"]),
        (LORA, ["panacea-post-hoc", "swat-kept", "security_vectors-auto", "booster"]),
    ],
    ids=str,
)
def test_a_run_of_two_processes_is_that_of_one(setting, labels):
    accumulated = {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 1}
    sharded = in_processes(lambda: ends_sharded(setting, labels, **accumulated))
    (one,) = in_processes(
        lambda: ends(setting, labels, **accumulated | {"per_device_train_batch_size": 2}), count=1
    )
    for label in labels:
        for name, wanted in one[label].items():
            first, second = (found[label][name] for found in sharded)
            assert torch.equal(first, second), (label, name)
            assert float((first - wanted).abs().max()) <= CLOSE, (label, name)


def test_learned_state_is_written_whole(tmp_path):
    def act():
        with pytest.MonkeyPatch.context() as patch:
            allow_fsdp(patch)
            trainer = new_trainer([RECIPES["lisa"]()], **ARGUMENTS)
            seen = []
            patch.setattr(trainer, "_holdfast_last_step_done", lambda: seen.append(kept(trainer)))
            trainer.train()
        (lisa,) = trainer.defenses
        assert any(map(is_sharded, lisa.anchor_.values()))
        return {n: whole(t) for n, t in lisa.anchor_.items()}

    def kept(trainer):
        trainer._holdfast.session.save(tmp_path)

    first, second = in_processes(act)
    written = load_state(tmp_path / "defenses", "lisa")["anchor_"]
    assert sorted(written) == sorted(first)
    assert all(torch.equal(written[n], t) and torch.equal(second[n], t) for n, t in first.items())


def test_a_vector_is_not_merged_into_sharded_weights():
    def act():
        with pytest.MonkeyPatch.context() as patch:
            allow_fsdp(patch)
            with pytest.raises(ConfigError, match="sharded over several processes"):
                trained([RECIPES["security_vectors-merged"]()], FULL, **ARGUMENTS)
        return True

    assert all(in_processes(act))


def test_fsdp_that_accelerate_passes_over_is_refused():
    def act():
        with pytest.raises(ConfigError, match="passes it over on cpu:0 in 2 process"):
            new_trainer([RECIPES["ml_lr-robust"]()], **ARGUMENTS)
        return True

    assert all(in_processes(act))


@pytest.mark.parametrize(("variable", "name"), [("FSDP", "FSDP"), ("DEEPSPEED", "DeepSpeed")])
def test_an_engine_that_is_passed_over_is_refused_in_one_process_too(monkeypatch, variable, name):
    trainer = new_trainer([])
    engine_for(trainer)
    monkeypatch.setenv(f"ACCELERATE_USE_{variable}", "true")
    with pytest.raises(ConfigError, match=f"{name} was asked for .* or leave {name} out"):
        engine_for(trainer)


def stand_in(**plugin):
    version = plugin.pop("version", 2)
    accelerator = SimpleNamespace(
        num_processes=1,
        is_fsdp2=version == 2,
        distributed_type=DistributedType.FSDP,
        state=SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=version, **plugin)),
    )
    args = SimpleNamespace(fsdp=["full_shard"], n_gpu=1)
    return SimpleNamespace(
        accelerator=accelerator, args=args, model=torch.nn.Linear(2, 2),
        compute_loss_context_manager=None,
    )  # fmt: skip


def test_the_engine_of_a_sharded_trainer_says_what_its_settings_leave(monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    engine = engine_for(stand_in())
    assert type(engine) is FSDP2Engine
    assert not engine.missing
    old = engine_for(stand_in(version=1))
    assert type(old) is LocalEngine
    assert "fsdp_version: 2" in old.missing[Capability.LEARNING_RATES]
    assert Capability.EDITS_DATA not in old.missing


@pytest.mark.parametrize(
    ("plugin", "needs", "says"),
    [
        ({"activation_checkpointing": True}, Capability.REPEATS, "gradient_checkpointing=True"),
        ({"cpu_ram_efficient_loading": True}, Capability.EDITS_WEIGHTS, "set it to false"),
    ],
)
def test_settings_of_the_plugin_that_are_not_exact_are_named(plugin, needs, says):
    assert says in fsdp_limits(stand_in(**plugin))[needs]
