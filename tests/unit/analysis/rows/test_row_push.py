"""push is the dot product of the row's gradient with the direction in which refusals rise."""

import pytest
import torch

from holdfast.analysis.rows.components.push import direction, exact_push, push, step_length
from holdfast.analysis.rows.components.tiles import encoded, tiles_of
from holdfast.errors import ModelError
from holdfast.evaluation.drift import lead, probe_ids
from holdfast.ops.gradients import global_norm, scaled
from holdfast.organism import scenarios
from tests.unit.analysis.rows.organism_rows import engine_of, openings, planted

WITHIN = 1e-3
"""Of the largest push."""


def made(*, adapter, rows=10):
    engine, tokenizer = engine_of(adapter=adapter)
    prompts = [probe_ids(row["prompt"], tokenizer) for row in scenarios.defender_pairs(12, seed=1)]
    toward = direction(engine, prompts, openings())
    tiles = tiles_of(encoded(planted(rows, 3)[0], tokenizer))
    return engine, toward, tiles, prompts


def far(engine, tiles, unit, t, exact):
    found = torch.cat(push(engine, tiles, unit, t))
    return float((found - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("adapter", [False, True])
def test_it_is_the_dot_product_of_each_rows_gradient(adapter):
    engine, toward, tiles, _ = made(adapter=adapter)
    exact = torch.cat(exact_push(engine, tiles, toward.unit))
    step = step_length(engine, tiles, toward.unit)
    assert step.change < 0.05
    assert far(engine, tiles, toward.unit, step.t, exact) < WITHIN
    # Planted: a step so long that curvature shows, and a direction that is not of length 1.
    assert far(engine, tiles, toward.unit, 0.25, exact) > WITHIN
    assert far(engine, tiles, scaled(toward.unit, 1.01), step.t, exact) > WITHIN


def test_the_direction_is_the_unit_gradient_of_the_lead():
    engine, toward, _, prompts = made(adapter=False, rows=3)
    assert toward.lead == pytest.approx(float(lead(engine.model, prompts, openings()).mean()), 1e-4)
    assert global_norm(toward.unit) == pytest.approx(1, abs=1e-5)
    t = 1e-3
    leads = []
    for sign in (t, -t):
        with engine.shifted(toward.unit, sign):
            leads.append(float(lead(engine.model, prompts, openings()).mean()))
    assert (leads[0] - leads[1]) / (2 * t) == pytest.approx(toward.norm, rel=0.01)


def test_an_adapter_at_its_start_moves_in_b_alone_and_is_put_back_bit_for_bit():
    engine, toward, tiles, _ = made(adapter=True, rows=3)
    moved = {name for name, u in toward.unit.items() if u.any()}
    assert moved == {name for name in toward.unit if "lora_B" in name}
    before = {name: p.detach().clone() for name, p in engine.model.named_parameters()}
    push(engine, tiles, toward.unit, 0.01)
    assert all(torch.equal(before[name], p) for name, p in engine.model.named_parameters())
    assert all(p.grad is None for p in engine.model.parameters())


def test_a_model_that_trains_nothing_has_no_push():
    engine, tokenizer = engine_of()
    engine.model.requires_grad_(False)
    prompts = [probe_ids(scenarios.defender_pairs(1)[0]["prompt"], tokenizer)]
    with pytest.raises(ModelError, match="trains none"):
        direction(engine, prompts, openings())
