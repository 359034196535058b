"""What is kept of the model that a run began with, and the weights put in for a pass."""

import pytest
import torch

from holdfast.errors import ConfigError
from holdfast.ops.agreement import answer_logits
from holdfast.ops.anchors.distances import distance
from holdfast.ops.anchors.references import (
    answer_count,
    at,
    masses,
    reference_at,
    reference_table,
    said_now,
)
from holdfast.ops.engine import LocalEngine
from holdfast.ops.weights import copied
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import BENIGN, REFUSALS, batch_of, lora

BATCHES = [batch_of(REFUSALS[:3]), batch_of(BENIGN[:2]), batch_of(REFUSALS[3:4])]
CPU = torch.device("cpu")


def engine_of(model=None):
    return LocalEngine(tiny_model() if model is None else model)


def moved(engine):
    """Change every trained tensor."""
    with torch.no_grad():
        for p in engine.parameters().values():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(3)))


def test_each_batch_has_its_own_rows_of_the_table():
    engine = engine_of()
    table = reference_table(engine, BATCHES)
    assert table["counts"] == [answer_count(b) for b in BATCHES]
    for number in (2, 0, 1):  # In any order, as a resumed run asks.
        found = reference_at(table, number, BATCHES[number], CPU, "a")
        assert found.logits.equal(answer_logits(engine, BATCHES[number]).detach())
        assert found.tokens is None


def test_a_table_of_other_rows_is_refused():
    """Two batches of as many answer tokens are told apart by their rows, and by their order."""
    table = reference_table(engine_of(), [batch_of(REFUSALS[:3])])
    for other in (batch_of(REFUSALS[1:4]), batch_of(REFUSALS[2::-1])):
        assert answer_count(other) == table["counts"][0]
        with pytest.raises(ConfigError, match=r"der: .*\(batch 1 .* resume with the same rows"):
            reference_at(table, 0, other, CPU, "der")
    with pytest.raises(ConfigError, match=r"batch 2"):
        reference_at(table, 1, batch_of(REFUSALS[:3]), CPU, "der")


def test_a_top_k_keeps_the_likeliest_and_the_rest():
    engine = engine_of()
    table = reference_table(engine, BATCHES, top_k=5, temperature=2.0)
    found = reference_at(table, 1, BATCHES[1], CPU, "a")
    logits = answer_logits(engine, BATCHES[1]).detach()
    assert found.logits.equal(logits.topk(5).values)
    assert found.tokens is not None
    assert found.rest is not None
    assert found.rest.equal(masses(logits, found.tokens, 2.0)[:, -1])
    vocabulary = logits.shape[-1]
    assert set(reference_table(engine, BATCHES, top_k=vocabulary)) == {"counts", "rows", "logits"}


def test_a_table_outlives_the_weights_that_it_was_made_at():
    engine = engine_of()
    table = reference_table(engine, BATCHES[:1])
    before = reference_at(table, 0, BATCHES[0], CPU, "a")
    assert float(distance(answer_logits(engine, BATCHES[0]), before, "l2")) == 0
    moved(engine)
    assert float(distance(answer_logits(engine, BATCHES[0]), before, "l2")) > 1e-3


def test_logits_are_kept_in_the_type_that_the_model_gives():
    found = said_now(engine_of(tiny_model().bfloat16()), BATCHES[0])
    assert found.logits.dtype == torch.bfloat16
    assert not found.logits.requires_grad


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_the_start_says_the_same_again_and_the_own_weights_come_back(adapted):
    """Also of an adapter that did not begin at 0, where the adapter off is another model."""
    engine = engine_of(lora(tiny_model()) if adapted else None)
    start, said = copied(engine.parameters()), said_now(engine, BATCHES[0])
    moved(engine)
    own = copied(engine.parameters())
    with at(engine, start):
        assert said_now(engine, BATCHES[0]).logits.equal(said.logits)
    assert all(p.equal(own[n]) for n, p in engine.parameters().items())
    assert not said_now(engine, BATCHES[0]).logits.equal(said.logits)


def test_an_error_at_the_start_puts_the_own_weights_back():
    engine = engine_of()
    start = copied(engine.parameters())
    moved(engine)
    own = copied(engine.parameters())
    with pytest.raises(ZeroDivisionError), at(engine, start):
        raise ZeroDivisionError
    assert all(p.equal(own[n]) for n, p in engine.parameters().items())


def test_where_an_adapter_began_at_zero_the_start_is_the_adapter_off():
    model = lora(tiny_model())
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.zero_()
    engine = engine_of(model)
    start = copied(engine.parameters())
    moved(engine)
    with at(engine, start):
        said = said_now(engine, BATCHES[0]).logits
    with model.disable_adapter():
        assert said_now(engine, BATCHES[0]).logits.equal(said)
