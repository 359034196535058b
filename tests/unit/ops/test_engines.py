"""DDP's engine in two processes: equal rows give one process's gradients, others their mean."""

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from holdfast.ops.engine import LocalEngine
from holdfast.ops.engines.ddp import DDPEngine
from tests.distributed import in_processes
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of

BATCHES = [batch_of(HARMFUL[:4]), batch_of(HARMFUL[4:6])]


def rig(**options):
    """Return a wrapped model and its engine."""
    model = tiny_model()
    wrapped = DistributedDataParallel(model, **options)
    return wrapped, DDPEngine(model, called=lambda: wrapped)


def same(one, other):
    return all(torch.equal(one[n], other[n]) for n in one) and one.keys() == other.keys()


def test_equal_rows_give_the_gradient_of_one_process_bit_for_bit():
    wanted, value = LocalEngine(tiny_model()).gradients(BATCHES)

    def act():
        _, engine = rig()
        return engine.gradients(BATCHES)

    for found, loss in in_processes(act):
        assert same(found, wanted)
        assert loss == value


def test_different_rows_give_the_mean_over_the_processes():
    each = [LocalEngine(tiny_model()).gradients([batch]) for batch in BATCHES]
    mean = {n: (g + each[1][0][n]) / 2 for n, g in each[0][0].items()}

    def act():
        _, engine = rig()
        return engine.gradients([BATCHES[engine.rank]])

    (one, loss), (other, _) = in_processes(act)
    assert same(one, other)
    assert same(one, mean)
    assert loss == pytest.approx((each[0][1] + each[1][1]) / 2, abs=1e-12)


@pytest.mark.parametrize("options", [{}, {"find_unused_parameters": True}])
@pytest.mark.parametrize("when", ["between", "after", "accumulating"])
def test_the_users_gradient_is_reduced_all_the_same(when, options):
    """Planted: with ``term.backward()`` in the engine, ``between`` leaves ranks apart."""

    def act():
        wrapped, engine = rig(**options)
        own = BATCHES[engine.rank]
        if when == "accumulating":
            with wrapped.no_sync():
                wrapped(**own).loss.backward()
                engine.gradients(BATCHES)
        loss = wrapped(**own).loss
        if when == "between":
            engine.gradients(BATCHES)
        loss.backward()
        extra, _ = engine.gradients(BATCHES)
        engine.add_gradient(extra, 0.5)
        return {n: p.grad for n, p in engine.parameters().items()}

    each = [LocalEngine(tiny_model()).gradients([batch])[0] for batch in BATCHES]
    extra, _ = LocalEngine(tiny_model()).gradients(BATCHES)
    twice = 2 if when == "accumulating" else 1
    one, other = in_processes(act)
    assert same(one, other)
    for name, part in one.items():
        wanted = twice * (each[0][name] + each[1][name]) / 2 + 0.5 * extra[name]
        assert torch.allclose(part, wanted, rtol=0, atol=1e-6), name


def test_an_extra_pass_of_the_users_own_is_not_reduced():
    def act():
        wrapped, engine = rig()
        with engine.unreduced():
            wrapped(**BATCHES[engine.rank]).loss.backward()
        return {n: p.grad for n, p in engine.parameters().items()}

    each = [LocalEngine(tiny_model()).gradients([batch])[0] for batch in BATCHES]
    for found, wanted in zip(in_processes(act), each, strict=True):
        assert same(found, wanted)


def test_a_total_is_over_all_processes():
    def act():
        _, engine = rig()
        return engine.total(0.1 + engine.rank), engine.rank, engine.world

    assert in_processes(act) == [(1.2000000000000002, 0, 2), (1.2000000000000002, 1, 2)]


def test_what_a_process_raises_is_the_message():
    def act():
        if torch.distributed.get_rank() == 1:
            raise ValueError("planted")
        torch.distributed.barrier()

    with pytest.raises(AssertionError, match=r"(?s)process 1:.*ValueError: planted"):
        in_processes(act)
