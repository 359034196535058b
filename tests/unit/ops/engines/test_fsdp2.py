"""A sharded model is to a method what the model of one process is.

Real ``fully_shard`` over gloo in two processes; ``LocalEngine`` on the whole model is the oracle.
"""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import fully_shard

from holdfast.defenses.frozen import frozen_but
from holdfast.ops.engine import LocalEngine
from holdfast.ops.engines.fsdp2 import FSDP2Engine
from holdfast.ops.engines.sharded import is_sharded, whole
from holdfast.ops.fisher import mean_squared_gradients, stepped
from holdfast.ops.gradients import global_norm
from holdfast.ops.randomness import gaussian
from holdfast.ops.weights import copied, put
from tests.distributed import in_processes
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of, lora

CLOSE = 2e-6
"""Largest difference, of a tensor's largest entry: float32 sums in another order."""


def sharded(model, *, wrapped=False):
    for number, layer in enumerate(model.get_decoder().layers):
        if wrapped:
            model.get_decoder().layers[number] = checkpoint_wrapper(layer)
        fully_shard(model.get_decoder().layers[number])
    return fully_shard(model)


def rigs(make=tiny_model):
    return LocalEngine(make()), FSDP2Engine(sharded(make()))


def batches():
    return [batch_of(HARMFUL[:4]), batch_of(HARMFUL[4:6])]


def values(tensors):
    return {n: whole(t.detach()).numpy().copy() for n, t in tensors.items()}


def grads(engine):
    return values({n: p.grad for n, p in engine.parameters().items() if p.grad is not None})


def close(found, wanted):
    """Tell whether the names are the same and each tensor is, up to its largest entry."""
    assert list(found) == list(wanted)
    return all(
        np.abs(found[n] - w).max() <= CLOSE * max(np.abs(w).max(), 1e-12) for n, w in wanted.items()
    )


def equal(found, wanted):
    return list(found) == list(wanted) and all(
        np.array_equal(found[n], w) for n, w in wanted.items()
    )


def everywhere(act, *args):
    """Run it in two processes; True where it is true in both."""
    found = in_processes(act, *args)
    return all(found)


def lora_model():
    return lora(tiny_model())


@pytest.mark.parametrize("make", [tiny_model, lora_model])
def test_gradients_value_and_norm_are_those_of_one_process(make):
    def act():
        local, engine = rigs(make)
        (wanted, loss), (found, value) = local.gradients(batches()), engine.gradients(batches())
        assert all(map(is_sharded, found.values()))
        assert value == pytest.approx(loss, rel=1e-6)
        assert global_norm(found) == pytest.approx(global_norm(wanted), rel=1e-6)
        return close(values(found), values(wanted)) and not grads(engine)

    assert everywhere(act)


def test_gradients_are_averaged_over_the_batches_of_the_processes():
    def act():
        local, engine = rigs()
        wanted, loss = local.gradients(batches())
        found, value = engine.gradients([batches()[dist.get_rank()]])
        return close(values(found), values(wanted)) and value == pytest.approx(loss, rel=1e-6)

    assert everywhere(act)


def test_weights_are_shifted_put_back_bit_for_bit_and_edited_by_whole_and_sharded_directions():
    def act():
        local, engine = rigs()
        before = values(engine.parameters())
        wanted, found = local.gradients(batches())[0], engine.gradients(batches())[0]
        for by in (found, wanted):
            with engine.shifted(by, 0.7), local.shifted(wanted, 0.7):
                there = float(engine.loss(batches()[0]).detach())
                assert there == pytest.approx(float(local.loss(batches()[0]).detach()), rel=1e-6)
                assert close(values(engine.parameters()), values(local.parameters()))
            assert equal(values(engine.parameters()), before)
        engine.edit(wanted, 0.5)
        local.edit(wanted, 0.5)
        return equal(values(engine.parameters()), values(local.parameters()))

    assert everywhere(act)


def test_an_edit_reaches_the_model_after_a_forward_without_a_backward():
    def act():
        local, engine = rigs()
        params, direction = engine.parameters(), gaussian(local.parameters(), 0)
        kept = copied(params)
        with torch.no_grad():
            start = float(engine.loss(batches()[0]))
            engine.model(**batches()[0])  # Past the engine: whole copies are left behind.
            engine.edit(direction)
            there = float(engine.loss(batches()[0]))
            put(params, kept)  # The parameters are those that were asked for before the passes.
            again = float(engine.loss(batches()[0]))
            local.edit(direction)
            wanted = float(local.loss(batches()[0]))
        return there == pytest.approx(wanted, rel=1e-6) and again == start != there

    assert everywhere(act)


def test_an_extra_pass_leaves_what_the_user_accumulated_unreduced_and_reduced():
    def act():
        local, engine = rigs()
        mine = batches()[dist.get_rank()]
        for synced in (False, False, True):
            engine.model.set_requires_gradient_sync(synced)
            loss = engine.model(**mine).loss  # The extra pass comes inside the user's own.
            extra, _ = engine.gradients(batches())
            loss.backward()
            again, _ = engine.gradients(batches())
            assert equal(values(again), values(extra))
        engine.add_gradient(extra, 0.5)
        wanted, _ = local.gradients(batches())
        return close(grads(engine), {n: 3.5 * g for n, g in values(wanted).items()})

    assert everywhere(act)


def test_a_gradient_that_is_added_early_waits_for_the_users():
    def act():
        local, engine = rigs()
        wanted, _ = local.gradients(batches())
        engine.model.set_requires_gradient_sync(False)
        engine.model(**batches()[dist.get_rank()]).loss.backward()
        engine.add_gradient(wanted, 0.5)  # Whole, and .grad is None as yet.
        engine.model.set_requires_gradient_sync(True)
        engine.model(**batches()[dist.get_rank()]).loss.backward()
        return close(grads(engine), {n: 2.5 * g for n, g in values(wanted).items()})

    assert everywhere(act)


def test_passes_that_are_thrown_away_leave_nothing():
    def act():
        local, engine = rigs()
        mine = batches()[dist.get_rank()]
        with engine.unreduced():
            engine.model(**batches()[0]).loss.backward()
        assert not grads(engine)
        engine.model(**mine).loss.backward()
        return close(grads(engine), values(local.gradients(batches())[0]))

    assert everywhere(act)


def test_noise_is_the_same_however_it_is_sharded():
    def act():
        local, engine = rigs()
        found = gaussian(engine.parameters(), 3)
        assert all(map(is_sharded, found.values()))
        return equal(values(found), values(gaussian(local.parameters(), 3)))

    assert everywhere(act)


@pytest.mark.parametrize("make", [tiny_model, lora_model])
def test_fisher_information_and_natural_steps_are_those_of_one_process(make):
    def walk(engine):
        fisher = mean_squared_gradients(engine, batches())
        steps = stepped(engine, lambda _: engine.gradients(batches())[0], fisher, 0.1, [0.1, -0.2])
        return values(fisher), values(steps[1]), values(engine.parameters())

    def act():
        wanted, found = map(walk, rigs(make))
        # A natural step divides by small Fisher entries, each with a rounding of its own.
        assert all(np.allclose(found[1][n], w, rtol=1e-3, atol=1e-6) for n, w in wanted[1].items())
        return close(found[0], wanted[0]) and equal(found[2], wanted[2])

    assert everywhere(act)


def test_frozen_weights_get_no_gradient_and_names_survive_wrapping():
    def act():
        engine = FSDP2Engine(sharded(tiny_model(), wrapped=True))
        assert list(engine.parameters()) == list(LocalEngine(tiny_model()).parameters())
        with frozen_but(engine.model, {(0, "q")}):
            engine.model(**batches()[0]).loss.backward()
        return [n for n in grads(engine) if "layers" in n] == [
            "model.layers.0.self_attn.q_proj.weight"
        ]

    assert everywhere(act)
