"""Stages 2 and 3: on and frozen while tuning, exactly gone afterwards and in every file."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from holdfast import SecurityVectors
from holdfast.defense import Run
from holdfast.defenses.security_vectors.attachment import Attachment
from holdfast.defenses.security_vectors.exactness import use_merged
from holdfast.errors import ConfigError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import projections, trainable
from tests.tiny import CONFIGS, tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)


def vectors(**options):
    loose = {
        "lr": 1e-2, "epochs": 3, "kl_weight": 0.0, "max_harmful_nll": 100.0, "max_benign_kl": 100.0,
    }  # fmt: skip
    return SecurityVectors(harmful=HARMFUL, benign=BENIGN, **{**loose, **options})


def vector_of(model):
    change = LowRank.zero(model, 3, 6.0, None, 0)
    generator = torch.Generator().manual_seed(1)
    for _, b in change.factors.values():
        b.copy_(torch.randn(b.shape, generator=generator) * 0.05)
    return change


def run_of(model, optimizer=None):
    return Run(model, LocalEngine(model), list, dict, 0, optimizer=lambda: optimizer)


def everything(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def hooks(model):
    return sum(len(m._forward_hooks) for m in model.modules())


# The merge identity


@pytest.mark.parametrize("arch", CONFIGS)
def test_merged_and_hooked_training_give_the_same_weights(arch, tmp_path):
    """Full parameters, Adam, no decay, fp32: the specification's 1e-6."""
    options = {"learning_rate": 1e-4, "adam_epsilon": 1e-6}
    found = {}
    for attach in ("merged", "hooks"):
        defense = vectors(attach=attach)
        trainer = trained(tmp_path, [defense], model=tiny_model(arch), **options)
        assert defense.report_["attached"] == attach
        found[attach] = weights_of(trainer.model)
    plain = weights_of(trained(tmp_path, model=tiny_model(arch), **options).model)
    assert farthest(found["merged"], found["hooks"]) <= 1e-6
    assert farthest(found["merged"], plain) > 1e-5
    assert farthest(found["merged"], everything(tiny_model(arch))) > 1e-4


@pytest.mark.parametrize("attach", ["merged", "hooks"])
@pytest.mark.parametrize("arch", ["llama", "gpt_neox", "opt"])
def test_a_lora_users_base_is_restored_bit_for_bit(arch, attach, tmp_path):
    model = lora(tiny_model(arch))
    before = everything(model)
    trained(tmp_path, [vectors(attach=attach)], model=model)
    after = everything(model)
    base = [n for n in before if "lora_" not in n]
    assert all(torch.equal(before[n], after[n]) for n in base)
    assert any(not torch.equal(before[n], after[n]) for n in before if "lora_" in n)
    assert hooks(model) == 0


def test_lora_users_merged_and_hooked_agree(tmp_path):
    one, two = (
        trained(tmp_path, [vectors(attach=a)], model=lora(tiny_model()), learning_rate=1e-4,
                adam_epsilon=1e-6).model for a in ("merged", "hooks")
    )  # fmt: skip
    assert farthest(weights_of(one), weights_of(two)) <= 1e-6


@pytest.mark.parametrize(
    ("peft", "decay", "dtype", "merged"),
    [
        (False, 0.0, torch.float32, True),
        (False, 0.1, torch.float32, False),
        (True, 0.1, torch.float32, True),
        (True, 0.0, torch.bfloat16, False),
    ],
)
def test_auto_merges_only_where_it_is_exact(peft, decay, dtype, merged):
    model = tiny_model().to(dtype)
    model = lora(model) if peft else model
    run = run_of(model, torch.optim.AdamW(trainable(model).values(), weight_decay=decay))
    assert use_merged(run, vector_of(model), "auto") is merged
    assert not use_merged(run, vector_of(model), "hooks")


def test_auto_uses_hooks_with_weight_decay_in_a_run(tmp_path):
    defense = vectors()
    trained(tmp_path, [defense], weight_decay=0.1)
    assert defense.report_["attached"] == "hooks"


def test_quantized_weights_cannot_be_merged_into():
    model = tiny_model().requires_grad_(False)
    vector = vector_of(model)
    for linear in projections(model).values():
        linear.weight = torch.nn.Parameter(linear.weight.to(torch.int8), requires_grad=False)
    assert not use_merged(run_of(model), vector, "auto")
    with pytest.raises(ConfigError, match="quantized"):
        use_merged(run_of(model), vector, "merged")


def test_gradient_checkpointing_changes_nothing(tmp_path):
    """Recomputed activations see the hooks again."""
    options = {"learning_rate": 1e-4, "adam_epsilon": 1e-6}
    found = [
        weights_of(
            trained(
                tmp_path, [vectors(attach="hooks")], gradient_checkpointing=recompute, **options
            ).model
        )
        for recompute in (False, True)
    ]
    assert farthest(*found) <= 1e-6


# On, frozen, off


@torch.no_grad()
@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_on_off_and_paused(merged, trainable):
    model = tiny_model().requires_grad_(trainable)
    vector, batch = vector_of(model), batch_of(HARMFUL[:3])
    before, plain = everything(model), model(**batch).logits
    live = Attachment(model, vector, 0.5, merged=merged)
    live.on()
    attached, weights = model(**batch).logits, everything(model)
    assert float((attached - plain).abs().max()) > 1e-3
    with live.paused():
        assert torch.allclose(model(**batch).logits, plain, atol=1e-5)
        assert hooks(model) == 0
    assert farthest(weights, everything(model)) == 0  # Attached again, bit for bit.
    assert torch.equal(model(**batch).logits, attached)
    live.off()
    exact = not trainable or not merged
    assert farthest(before, everything(model)) <= (0 if exact else 1e-7)
    assert hooks(model) == 0
    live.off()  # Safe to call again.
    assert farthest(before, everything(model)) <= (0 if exact else 1e-7)


@torch.no_grad()
def test_a_pause_after_steps_gives_the_merged_weights_back_bit_for_bit():
    model = tiny_model()
    live = Attachment(model, vector_of(model), 1.0, merged=True)
    live.on()
    generator = torch.Generator().manual_seed(3)
    for p in model.parameters():  # Where W - ΔW + ΔW no longer rounds to W.
        p.add_(torch.randn(p.shape, generator=generator) * 1e-4)
    weights = everything(model)
    assert any(bool(r.any()) for r in live.rounding().values())
    with live.paused():
        assert farthest(weights, everything(model)) > 1e-3
    assert farthest(weights, everything(model)) == 0


def test_a_failure_half_way_through_attaching_is_undone(monkeypatch):
    model = tiny_model().requires_grad_(False)
    before, vector = everything(model), vector_of(model)
    defense = vectors(attach="merged")
    defense.vector_ = vector.tensors()
    change, calls = LowRank.change, []

    def failing(self, name, linear, strength=1.0):
        calls.append(name)
        if len(calls) == 5:
            raise MemoryError
        return change(self, name, linear, strength)

    monkeypatch.setattr(LowRank, "change", failing)
    run = run_of(model)
    with pytest.raises(MemoryError), defense.attached(run):
        pass
    assert len(calls) >= 5
    assert farthest(before, everything(model)) == 0


@pytest.mark.parametrize("attach", ["merged", "hooks"])
def test_nothing_stays_after_an_exception_in_a_step(attach, tmp_path):
    model = lora(tiny_model())
    before = everything(model)
    trainer = trainer_of(tmp_path, [vectors(attach=attach)], model=model)

    def broken(rows):
        raise ZeroDivisionError

    trainer.train_dataset = [{"input_ids": [1], "labels": [1]}] * 4
    collate, trainer.data_collator = trainer.data_collator, broken
    # The defender's rows go through the same collator, so it breaks only once tuning has begun.
    trainer.data_collator = lambda rows: (
        broken(rows) if len(rows[0]["labels"]) == 1 else collate(rows)
    )
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert farthest(before, everything(model)) == 0
    assert hooks(model) == 0


@pytest.mark.parametrize("attach", ["merged", "hooks"])
def test_the_vector_is_bit_identical_and_without_gradient_after_tuning(attach, tmp_path):
    defense = vectors(attach=attach)
    trainer = trainer_of(tmp_path, [defense])
    seen, factors = {}, []
    hooked = LowRank.hooked

    def watching(self, model, strength=1.0):
        factors.extend(self.parameters())
        return hooked(self, model, strength)

    def remember(run):
        SecurityVectors.before(defense, run)
        seen.update({n: t.clone() for n, t in defense.vector_.items()})
        LowRank.hooked = watching

    defense.before = remember
    try:
        trainer.train()
    finally:
        LowRank.hooked = hooked
    assert seen
    assert farthest(seen, defense.vector_) == 0
    kept = trainer.artifacts[0].tensors["adapter_model"]
    assert farthest(seen, kept) == 0
    assert not any(t.requires_grad for t in defense.vector_.values())
    assert bool(factors) is (attach == "hooks")
    assert all(t.grad is None and not t.requires_grad for t in factors)


def test_the_vector_is_on_in_every_forward_of_tuning(tmp_path):
    """A step at learning rate 0: the logged loss is that of θ ⊕ θ_s."""
    options = {"learning_rate": 0.0, "max_steps": 1, "per_device_train_batch_size": 8}
    defense = vectors(scale=0.7)
    trainer = trained(tmp_path, [defense], **options)
    model, vector = tiny_model(), LowRank.from_tensors(defense.vector_)
    batch = trainer.data_collator(trainer.train_dataset)
    with vector.hooked(model, 0.7), torch.no_grad():
        expected = float(model(**batch).loss)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(expected, abs=1e-4)
    with torch.no_grad():
        assert abs(float(model(**batch).loss) - expected) > 1e-3


def test_strength_zero_is_plain_training(tmp_path):
    plain = weights_of(trained(tmp_path).model)
    found = trained(tmp_path, [SecurityVectors(scale=0)])
    assert farthest(plain, weights_of(found.model)) == 0


def test_the_artifact_is_private_and_peft_can_load_it(tmp_path):
    trainer = trained(tmp_path / "run", [vectors()])
    [artifact] = trainer.artifacts
    assert artifact.private
    folder = artifact.save(tmp_path / "apart")
    model, batch = tiny_model(), batch_of(HARMFUL)
    vector = LowRank.from_tensors(load_file(folder / "adapter_model.safetensors"))
    with vector.hooked(model), torch.no_grad():
        hooked = model(**batch).logits
    adapted = PeftModel.from_pretrained(tiny_model(), folder)
    with torch.no_grad():
        assert torch.allclose(adapted(**batch).logits, hooked, atol=1e-5)
