"""The diagonal Fisher information, row by row, and steps in its metric, against plain autograd."""

from typing import Any

import pytest
import torch
from torch import nn

from holdfast.errors import DataError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.fisher import mean_squared_gradients, natural_step, preconditioned, stepped
from holdfast.ops.gradients import ascent_step, global_norm
from holdfast.ops.row_gradients import linear_factors
from tests.tiny import CONFIGS, tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    example,
    farthest,
    lora,
    weights_of,
)
from tests.zoo import zoo_model

ROWS = [*BENIGN[:3], *HARMFUL[:2], example("tell me of it", "no")]


def by_autograd(model, rows):
    """F written out: one backward pass for each row alone, nothing of ours."""
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    total = {n: torch.zeros_like(p) for n, p in named.items()}
    for row in rows:
        grads = torch.autograd.grad(model(**batch_of([row])).loss, list(named.values()))
        for name, g in zip(named, grads, strict=True):
            total[name] += g.float() ** 2 / len(rows)
    return total


def near(found, wanted):
    assert found.keys() == wanted.keys()
    return all(torch.allclose(found[n], wanted[n], rtol=1e-3, atol=1e-10) for n in wanted)


@pytest.mark.parametrize("arch", CONFIGS)
def test_it_is_the_mean_of_squares_of_each_row_in_one_pass_over_lora(arch):
    model = lora(tiny_model(arch)).eval()
    assert linear_factors(LocalEngine(model))
    found = mean_squared_gradients(LocalEngine(model), [batch_of(ROWS[:4]), batch_of(ROWS[4:])])
    assert near(found, by_autograd(model, ROWS))


@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
def test_it_is_the_mean_of_squares_where_every_weight_is_trained(arch):
    model = tiny_model(arch).eval()
    assert not linear_factors(LocalEngine(model))  # Norms and embeddings are no linear layers.
    found = mean_squared_gradients(LocalEngine(model), [batch_of(ROWS)])
    assert near(found, by_autograd(model, ROWS))


def test_it_is_not_the_square_of_the_mean():
    model = lora(tiny_model()).eval()
    mean, _ = LocalEngine(model).gradients([batch_of([row]) for row in ROWS])
    found = mean_squared_gradients(LocalEngine(model), [batch_of(ROWS)])
    assert not near(found, {n: g**2 for n, g in mean.items()})


def test_order_and_batches_of_the_rows_do_not_count():
    engine = LocalEngine(lora(tiny_model()))
    whole = mean_squared_gradients(engine, [batch_of(ROWS)])
    again = mean_squared_gradients(engine, [batch_of(ROWS[3:]), batch_of(ROWS[:3])])
    assert near(again, whole)


def test_a_layer_that_is_called_twice_has_one_gradient():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.config = nn.Linear(3, 3, bias=False), None

        def forward(self, input_ids, attention_mask=None, labels=None, use_cache=False):
            logits = self.layer(self.layer(torch.nn.functional.one_hot(input_ids, 3).float()))
            loss = None
            if labels is not None:
                loss = nn.functional.cross_entropy(
                    logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
                )
            return type("Out", (), {"logits": logits, "loss": loss})()

    model = Twice()
    ids = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    batch = {"input_ids": ids, "labels": ids}
    found = mean_squared_gradients(LocalEngine(model), [batch])
    rows = [{n: t[i : i + 1] for n, t in batch.items()} for i in range(2)]
    grads = [torch.autograd.grad(model(**row).loss, model.layer.weight)[0] for row in rows]
    wanted = {"layer.weight": sum(g**2 for g in grads) / 2}
    assert linear_factors(LocalEngine(model))
    assert near(found, wanted)


@pytest.mark.parametrize("targets", ["experts", "all-linear"])
def test_an_adapter_of_stacked_experts_is_felt(targets):
    """It reads its factors' weights and calls no layer: F of it was 0, as if no row felt it."""
    model = zoo_model("qwen3_moe")
    stacked = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    only = {"target_modules": [], "target_parameters": stacked} if targets == "experts" else {}
    model = lora(model, rank=2, **only).eval()
    names = [n for n, p in model.named_parameters() if p.requires_grad and "experts" in n]
    assert names
    engine, batch = LocalEngine(model), batch_of(ROWS)
    found, wanted = mean_squared_gradients(engine, [batch]), by_autograd(model, ROWS)
    assert near(found, wanted)
    assert all(wanted[name].any() for name in names)


def test_a_weight_that_two_layers_hold_is_taken_row_by_row():
    model = lora(tiny_model()).eval()
    layers: Any = model.get_submodule("base_model.model.model.layers")
    first, second = (layer.self_attn.q_proj for layer in layers)
    second.lora_A["default"].weight = first.lora_A["default"].weight
    found = mean_squared_gradients(LocalEngine(model), [batch_of(ROWS)])
    assert near(found, by_autograd(model, ROWS))


def test_it_is_float32_over_a_base_in_bfloat16_and_leaves_nothing_behind():
    model = lora(tiny_model().bfloat16())
    for n, p in model.named_parameters():
        p.data = p.data.float() if "lora_" in n else p.data
    hooks = sum(len(m._forward_hooks) for m in model.modules())
    found = mean_squared_gradients(LocalEngine(model), [batch_of(ROWS)])
    assert all(f.dtype == torch.float32 for f in found.values())
    assert global_norm(found) > 0
    assert all(p.grad is None for p in model.parameters())
    assert sum(len(m._forward_hooks) for m in model.modules()) == hooks


def test_no_row_is_an_error():
    with pytest.raises(DataError, match="no rows"):
        mean_squared_gradients(LocalEngine(lora(tiny_model())), [])


class Quadratic:
    """An engine of the loss (w − c)ᵀ diag(h) (w − c) / 2: its Hessian is diag(h)."""

    def __init__(self, start, center, hessian):
        self.w = nn.Parameter(start.clone())
        self.center, self.hessian = center, hessian

    def parameters(self):
        return {"w": self.w}

    def edit(self, by, scale=1.0):
        self.w.data.add_(by["w"], alpha=scale)

    def gradient(self, _=0):
        return {"w": (self.hessian * (self.w - self.center)).detach()}


def quadratic():
    torch.manual_seed(0)
    return Quadratic(torch.randn(6), torch.randn(6), torch.tensor([4.0, 2, 1, 0.5, 9, 3]))


def test_on_a_quadratic_with_f_as_its_hessian_the_step_is_the_closed_form():
    loss = quadratic()
    fisher, d, rho = {"w": loss.hessian}, 0.25, 0.7
    found = natural_step(loss.gradient(), fisher, d, rho)["w"]
    u = loss.gradient()["w"] / (loss.hessian + d * loss.hessian.mean())
    assert torch.allclose(found, rho * u / u.norm(), rtol=1e-5)
    # Without damping it points straight away from the minimum: Newton's direction.
    straight = natural_step(loss.gradient(), fisher, 1e-9, rho)["w"]
    away = (loss.w - loss.center).detach()
    assert torch.allclose(straight, rho * away / away.norm(), rtol=1e-4)


def test_of_all_steps_as_costly_in_the_metric_it_gains_most():
    loss = quadratic()
    g, metric = loss.gradient()["w"], loss.hessian + 0.25 * loss.hessian.mean()
    step = natural_step({"w": g}, {"w": loss.hessian}, 0.25, 0.7)["w"]
    cost = step @ (metric * step)
    others = torch.randn(200, 6)
    others *= (cost / (others**2 @ metric)).sqrt()[:, None]
    assert float((others @ g).max()) < float(step @ g)


def test_with_large_damping_it_is_the_plain_normalized_step():
    gradient = {"w": torch.randn(50)}
    fisher = {"w": torch.rand(50)}
    plain = ascent_step(gradient, 0.3)
    assert farthest(natural_step(gradient, fisher, 1e9, 0.3), plain) < 1e-6
    assert farthest(natural_step(gradient, None, 0.01, 0.3), plain) == 0
    assert farthest(natural_step(gradient, fisher, 0.01, 0.3), plain) > 1e-3
    assert farthest(preconditioned(gradient, {"w": torch.zeros(50)}, 0.01), gradient) == 0


def test_steps_are_linearized_anew_and_the_weights_put_back():
    model = lora(tiny_model())
    engine, batch, before = LocalEngine(model), batch_of(HARMFUL), weights_of(model)
    steps = stepped(engine, lambda _: engine.gradients([batch])[0], None, 1.0, [0.2, 0.2])
    assert farthest(weights_of(model), before) == 0
    first = ascent_step(engine.gradients([batch])[0], 0.2)
    with engine.shifted(first):
        second = ascent_step(engine.gradients([batch])[0], 0.2)
    assert farthest(steps[0], first) == 0
    assert farthest(steps[1], second) < 1e-6
    assert farthest(steps[1], steps[0]) > 1e-3
