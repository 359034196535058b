"""Hidden states seen and moved; nothing stays behind."""

import pytest
import torch

from holdfast.ops.activations import captured, shifted_activations
from tests.tiny import HIDDEN, tiny_model

IDS = torch.tensor([[1, 8, 9, 10]])


def hooks(model):
    return sum(len(m._forward_hooks) for m in model.modules())


@torch.no_grad()
def test_captured_is_what_the_model_calls_its_hidden_states():
    model = tiny_model()
    out = model(IDS, output_hidden_states=True)
    installed = hooks(model)  # transformers leaves hooks of its own after output_hidden_states.
    with captured({"first": model.model.layers[0]}) as seen:
        model(IDS)
    assert seen["first"].shape == (1, 4, HIDDEN)
    assert torch.equal(seen["first"], out.hidden_states[1])
    assert hooks(model) == installed


@torch.no_grad()
@pytest.mark.parametrize("module", ["layer", "attention"])  # Attention returns a tuple.
def test_shifted_by_adds_the_vector_and_nothing_stays(module):
    model = tiny_model()
    target = model.model.layers[0] if module == "layer" else model.model.layers[0].self_attn
    plain = model(IDS).logits
    with captured({"x": target}) as before:
        model(IDS)
    by = torch.arange(HIDDEN, dtype=torch.float32)
    with shifted_activations({"x": target}, {"x": by}), captured({"x": target}) as after:
        moved = model(IDS).logits
    assert torch.equal(after["x"], before["x"] + by)
    assert not torch.allclose(moved, plain)
    assert torch.equal(model(IDS).logits, plain)


def test_hooks_are_gone_after_an_exception():
    model = tiny_model()
    layers = {"x": model.model.layers[0]}
    with pytest.raises(ZeroDivisionError), captured(layers):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), shifted_activations(layers, {"x": torch.ones(HIDDEN)}):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_an_unknown_name_leaves_no_hook():
    model = tiny_model()
    layers = {"x": model.model.layers[0]}
    steps = {"x": torch.ones(HIDDEN), "y": torch.ones(HIDDEN)}
    with pytest.raises(KeyError), shifted_activations(layers, steps):
        pass
    assert hooks(model) == 0
