"""Weights moved and put back: bit for bit, in low precision and after errors."""

import pytest
import torch
from torch import nn

from holdfast.ops.weights import copied, put, shift, shifted_weights

CYCLES = 200


def low_precision():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 64, generator=generator).bfloat16()
    step = {"w": torch.randn(64, 64, generator=generator) * 0.01}
    return {"w": nn.Parameter(weight, requires_grad=False)}, step


def test_two_hundred_cycles_in_bf16_change_nothing():
    params, step = low_precision()
    before = copied(params)
    for _ in range(CYCLES):
        with shifted_weights(params, step):
            assert not torch.equal(params["w"], before["w"])
    assert torch.equal(params["w"], before["w"])


def test_subtraction_would_have_changed_weights():
    params, _ = low_precision()
    before = copied(params)
    generator = torch.Generator().manual_seed(1)
    for _ in range(CYCLES):
        step = {"w": torch.randn(64, 64, generator=generator) * 0.01}
        shift(params, step)
        shift(params, step, -1.0)
    assert float((params["w"] != before["w"]).float().mean()) > 0.05


def test_restored_after_an_exception():
    params, step = low_precision()
    before = copied(params)
    with pytest.raises(KeyboardInterrupt), shifted_weights(params, step):
        raise KeyboardInterrupt
    assert torch.equal(params["w"], before["w"])


def test_an_error_while_moving_leaves_nothing_moved():
    params = {"a": nn.Parameter(torch.ones(2)), "b": nn.Parameter(torch.ones(2))}
    step = {"a": torch.ones(2), "b": torch.ones(3)}  # The second has the wrong shape.
    with pytest.raises(RuntimeError), shifted_weights(params, step):
        pass
    assert params["a"].tolist() == [1, 1]


def test_shift_and_put_edit_in_place():
    w = nn.Parameter(torch.ones(2))
    identity = w.data_ptr()
    shift({"w": w}, {"w": torch.ones(2)}, 0.5)
    assert w.tolist() == [1.5, 1.5]
    put({"w": w}, {"w": torch.zeros(2)})
    assert w.tolist() == [0, 0]
    assert w.data_ptr() == identity
    assert w.requires_grad


def test_only_named_parameters_move():
    params = {"a": nn.Parameter(torch.ones(2)), "b": nn.Parameter(torch.ones(2))}
    with shifted_weights(params, {"a": torch.ones(2)}, 2.0):
        assert params["a"].tolist() == [3, 3]
        assert params["b"].tolist() == [1, 1]
