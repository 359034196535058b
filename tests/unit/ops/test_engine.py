"""Extra passes leave the user's gradients, random state and training flags as they were."""

import pytest
import torch

from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of, lora, weights_of


def rig(model=None):
    model = tiny_model() if model is None else model
    return model, LocalEngine(model), [batch_of(HARMFUL[:4]), batch_of(HARMFUL[4:6])]


def own_loss(model, batch):
    return model(**batch).loss


def test_gradients_are_the_mean_over_the_batches():
    model, engine, batches = rig()
    found, value = engine.gradients(batches)
    loss = (own_loss(model, batches[0]) + own_loss(model, batches[1])) / 2
    expected = torch.autograd.grad(loss, list(model.parameters()))
    assert value == pytest.approx(float(loss), abs=1e-6)
    for (name, p), wanted in zip(engine.parameters().items(), expected, strict=True):
        assert found[name].shape == p.shape
        assert torch.allclose(found[name], wanted, atol=1e-7), name


def test_gradients_leave_grads_randomness_and_flags_alone():
    model, engine, batches = rig(lora(tiny_model(), lora_dropout=0.5))
    model.train()
    model.base_model.model.model.layers[1].eval()  # A mixed state is put back module by module.
    flags = [m.training for m in model.modules()]
    params = engine.parameters()
    for p in params.values():
        p.grad = torch.full_like(p, 3.0)
    kept = {n: p.grad for n, p in params.items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    engine.gradients(batches)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(params[n].grad is g for n, g in kept.items())
    assert all(bool((g == 3.0).all()) for g in kept.values())
    assert [m.training for m in model.modules()] == flags


def test_dropout_is_off_in_extra_passes():
    model, engine, batches = rig(lora(tiny_model(), lora_dropout=0.5))
    model.train()
    torch.manual_seed(0)
    one, _ = engine.gradients(batches)
    torch.manual_seed(1)
    two, _ = engine.gradients(batches)
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_flags_and_grads_are_put_back_after_an_exception():
    model, engine, batches = rig()
    model.train()
    p = next(model.parameters())
    p.grad = kept = torch.ones_like(p)

    def broken(batch):
        engine.loss(batch).backward()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.gradients(batches, broken)
    with pytest.raises(ValueError, match="input_ids"):
        engine.forward({"nonsense": torch.ones(1)})
    assert p.grad is kept
    assert all(m.training for m in model.modules())


def test_gradients_work_inside_no_grad():
    _, engine, batches = rig()
    with torch.no_grad():
        found, _ = engine.gradients(batches)
    assert global_norm(found) > 0


def test_add_gradient_adds_and_creates():
    _, engine, _ = rig()
    names = list(engine.parameters())[:2]
    params = engine.parameters()
    params[names[0]].grad = torch.ones_like(params[names[0]])
    engine.add_gradient({n: torch.full_like(params[n], 4.0) for n in names}, -0.5)
    assert bool((params[names[0]].grad == -1.0).all())
    assert bool((params[names[1]].grad == -2.0).all())
    assert all(p.grad is None for n, p in params.items() if n not in names)


def test_shifted_restores_and_edit_stays():
    model, engine, batches = rig()
    before = weights_of(model)
    step = {n: torch.ones_like(w) * 0.1 for n, w in before.items()}
    plain = float(engine.loss(batches[0]))
    with engine.shifted(step, 2.0):
        assert float(engine.loss(batches[0])) != plain
    assert all(torch.equal(before[n], w) for n, w in weights_of(model).items())
    engine.edit(step, 2.0)
    assert all(torch.equal(before[n] + 0.2, w) for n, w in weights_of(model).items())


def test_tied_embeddings_are_one_parameter():
    model = tiny_model("gemma2")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    names = LocalEngine(model).parameters()
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


def test_only_trainable_parameters_are_the_engines():
    _, engine, _ = rig(lora(tiny_model()))
    assert engine.parameters()
    assert all("lora_" in name for name in engine.parameters())


def test_plain_numbers_in_a_batch_pass_through():
    _, engine, batches = rig()
    moved = engine._on_device({**batches[0], "max_length_q": 7})
    assert moved["max_length_q"] == 7


def test_gradient_checkpointing_changes_no_gradient():
    model, engine, batches = rig()
    plain, _ = engine.gradients(batches)
    model.gradient_checkpointing_enable()
    model.train()
    again, _ = engine.gradients(batches)
    assert all(torch.equal(plain[n], again[n]) for n in plain)


def test_autocast_is_the_trainers():
    model, _, batches = rig()
    engine = LocalEngine(model, lambda: torch.autocast("cpu", torch.bfloat16))
    found, _ = engine.gradients(batches)
    exact, _ = LocalEngine(model).gradients(batches)
    assert all(g.dtype == torch.float32 for g in found.values())
    assert any(not torch.equal(found[n], exact[n]) for n in found)
    off = {n: found[n] - exact[n] for n in found}
    assert global_norm(off) < 0.1 * global_norm(exact)
