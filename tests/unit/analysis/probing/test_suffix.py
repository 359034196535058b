"""What runs from a layer on equals a whole pass bit for bit, whatever the architecture."""

import pytest
import torch
from torch import nn

from holdfast.analysis.probing.suffix import Suffix
from holdfast.errors import InputError, RunError
from holdfast.ops.modules import ATTENTION_ROLES, projections
from tests.tiny import CONFIGS, LAYERS, tiny_model
from tests.unit.analysis.tiny_analysis import adapted, everything_of, prompts, same

IDS = [[5, 9, 11, 12, 8], [5, 8], [7] * 9, [9, 10, 11], [4, 5, 6, 7, 8, 9]]
ARCHS = pytest.mark.parametrize("arch", CONFIGS)


def made(arch, adapter):
    return adapted(tiny_model(arch)) if adapter else tiny_model(arch)


@ARCHS
@pytest.mark.parametrize("adapter", [False, True])
def test_cached_equals_whole_for_a_change_of_every_module(arch, adapter):
    model = made(arch, adapter)
    cached = Suffix(model, IDS, batch_size=2)
    naive = Suffix(model, IDS, batch_size=2, cached=False)
    assert torch.equal(cached.clean, naive.clean)
    for ref, module in projections(model).items():
        kept = module.weight.detach().clone()
        module.weight.data.mul_(1.5)
        changed = cached.states(ref.layer, attention=ref.role in ATTENTION_ROLES)
        assert torch.equal(changed, naive.states()), ref.name
        assert not torch.equal(changed, cached.clean), ref.name
        module.weight.data.copy_(kept)


@ARCHS
def test_batches_and_padding_do_not_matter(arch):
    model = tiny_model(arch)
    alone = Suffix(model, IDS, batch_size=1).clean
    assert torch.allclose(alone, Suffix(model, IDS, batch_size=5).clean, atol=1e-5)
    assert torch.allclose(alone[[2]], Suffix(model, [IDS[2]]).clean, atol=1e-6)


@ARCHS
def test_the_state_is_the_last_layers_at_the_last_token(arch):
    model = tiny_model(arch)
    seen = []
    layers = (model.get_decoder() if arch == "opt" else model.base_model).layers
    handle = layers[-1].register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        model(torch.tensor([IDS[0]]))
    handle.remove()
    out = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    assert torch.allclose(Suffix(model, IDS).clean[0], out[0, -1], atol=1e-5)


def test_only_the_layers_from_the_changed_one_run():
    model = tiny_model()
    suffix = Suffix(model, prompts().harmful, batch_size=64)
    ran = []
    for n, layer in enumerate(model.model.layers):
        layer.self_attn.register_forward_hook(lambda *_, n=n: ran.append(("attention", n)))
        layer.mlp.register_forward_hook(lambda *_, n=n: ran.append(("mlp", n)))
    suffix.states(LAYERS - 1)
    assert {layer for _, layer in ran} == {LAYERS - 1}
    ran.clear()
    attended = model.model.layers[0].self_attn.q_proj
    attended.register_forward_hook(lambda *_: ran.append(("query", 0)))
    suffix.states(0, attention=False)
    assert ("query", 0) not in ran
    assert ("mlp", 0) in ran


def test_a_hooked_forward_of_an_attention_comes_back():
    model = tiny_model()
    attention = model.model.layers[1].self_attn
    own = attention.forward
    attention.forward = own  # As accelerate does, on the instance.
    suffix = Suffix(model, IDS)
    suffix.states(1, attention=False)
    assert vars(attention)["forward"] is own


def test_nothing_stays_behind_after_an_error():
    model = tiny_model().train()
    suffix = Suffix(model, IDS)
    before = everything_of(model)

    def broken(*_):
        raise KeyboardInterrupt

    handle = model.model.layers[1].mlp.register_forward_hook(broken)
    with pytest.raises(KeyboardInterrupt):
        suffix.states(1, attention=False)
    with pytest.raises(KeyboardInterrupt):
        Suffix(model, IDS)
    handle.remove()
    assert same(before, everything_of(model))


def test_training_flags_and_dropout_do_not_matter():
    model = tiny_model("opt")
    clean = Suffix(model, IDS).clean
    model.model.decoder.layers[0].dropout = 0.5
    assert torch.equal(clean, Suffix(model.train(), IDS).clean)
    assert model.training


def test_layers_that_do_not_repeat_the_pass_are_refused():
    model = tiny_model()

    class Counting(nn.Module):
        calls = 0

        def forward(self, hidden):
            self.calls += 1
            return hidden * (1 + 1e-5 * self.calls)

    model.model.layers[1].mlp.act_fn = Counting()
    with pytest.raises(RunError, match="cached=False"):
        Suffix(model, IDS)


@pytest.mark.parametrize(("given", "said"), [([], "no prompt"), ([[5], []], "prompt 2 without")])
def test_no_prompt_and_an_empty_one_are_refused(given, said):
    with pytest.raises(InputError, match=said):
        Suffix(tiny_model(), given)


def test_a_model_of_no_numbers_is_told_as_such():
    model = tiny_model()
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(RunError, match="hidden states are no numbers"):
        Suffix(model, IDS, batch_size=2)
