"""Gradients taken aside: what was accumulated stays, and norms are global."""

import math

import pytest
import torch
from torch import nn

from holdfast.ops.gradients import ascent_step, collected, global_norm, isolated_grads, scaled


def test_isolated_grads_put_back_what_was_accumulated():
    p, q = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
    p.grad = kept = torch.full((3,), 7.0)
    with isolated_grads([p, q]):
        assert p.grad is None
        (p.sum() * 2 + q.sum()).backward()
        assert p.grad.tolist() == [2, 2, 2]
    assert p.grad is kept
    assert p.grad.tolist() == [7, 7, 7]
    assert q.grad is None


def test_isolated_grads_put_back_after_an_exception():
    p = nn.Parameter(torch.ones(1))
    p.grad = kept = torch.ones(1)

    def body():
        p.sum().backward()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), isolated_grads([p]):
        body()
    assert p.grad is kept


def test_global_norm_is_the_norm_of_the_concatenation():
    tensors = {"a": torch.tensor([[3.0, 0.0]]), "b": torch.tensor([4.0])}
    assert global_norm(tensors) == 5.0


def test_global_norm_keeps_the_digits_of_many_small_numbers():
    many = torch.full((2**14,), 2.0**-7)  # Squares that sum to 1, lost in float32 beside 2^28.
    tensors = {"big": torch.cat([torch.tensor([2.0**14]), many]), "rest": many}
    assert math.isclose(global_norm(tensors), (2.0**28 + 2.0) ** 0.5, rel_tol=1e-12)


def test_ascent_step_has_the_radius_and_the_direction():
    gradient = {"a": torch.randn(40, 3), "b": torch.randn(7)}
    step = ascent_step(gradient, 2.5)
    assert math.isclose(global_norm(step), 2.5, rel_tol=1e-5)
    ratio = step["a"] / gradient["a"]
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio))
    assert float(ratio[0, 0]) > 0


def test_ascent_step_of_a_zero_gradient_is_zero():
    step = ascent_step({"a": torch.zeros(3)}, 1.0)
    assert step["a"].tolist() == [0, 0, 0]


def test_collected_is_zero_where_backward_did_not_reach():
    p, q = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    p.sum().backward()
    found = collected({"p": p, "q": q})
    assert found["p"].tolist() == [1, 1]
    assert found["q"].tolist() == [0, 0]
    assert scaled(found, 3.0)["p"].tolist() == [3, 3]
