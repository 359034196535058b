"""Parts of fused projections against models that have them apart, and transposed weights."""

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from holdfast.analysis.modules.first_order import squared_gradients
from holdfast.analysis.pipeline import AnalysisSettings, analyze, probed_model
from holdfast.defenses.fused import as_trained
from holdfast.ops.modules import ModuleRef, parts, projections
from holdfast.ops.roles.parts import features, oriented
from holdfast.ops.roles.table import FUSED
from tests.unit.analysis.tiny_analysis import prompts
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of
from tests.zoo import zoo_model

ASK = batch_of(HARMFUL[:4])
QUICK = AnalysisSettings(batch_size=16)


def logits(model):
    with torch.no_grad():
        return model(input_ids=ASK["input_ids"], attention_mask=ASK["attention_mask"]).logits


def phi3_and_llama():
    """A fused model, and one with the same numbers apart."""
    fused, apart = zoo_model("phi3"), zoo_model("llama", rms_norm_eps=1e-5)
    state = fused.state_dict()
    for name in list(state):
        if name.endswith("qkv_proj.weight"):
            q, k, v = state.pop(name).split([32, 16, 16])
            for role, own in (("q", q), ("k", k), ("v", v)):
                state[name.replace("qkv", role)] = own
        elif name.endswith("gate_up_proj.weight"):
            gate, up = state.pop(name).chunk(2)
            state[name.replace("gate_up", "gate")] = gate
            state[name.replace("gate_up", "up")] = up
    apart.load_state_dict(state)
    return fused, apart


def by_role(model):
    return {(r.layer, r.role): (r, p) for r, p in parts(model).items()}


def test_both_models_are_the_same_function():
    fused, apart = phi3_and_llama()
    assert torch.allclose(logits(fused), logits(apart), atol=1e-6)


@pytest.mark.parametrize("role", ["q", "k", "v", "gate", "up"])
def test_a_part_of_phi3_is_that_module_of_llama(role):
    fused, apart = phi3_and_llama()
    clean = logits(apart)
    (_, part), (_, module) = by_role(fused)[1, role], by_role(apart)[1, role]
    assert torch.equal(part.weight, module.weight)
    with torch.no_grad():
        change = torch.randn_like(part.weight) * 0.1
        part.parameter.add_(part.spread(change))
        module.parameter.add_(change)
    assert torch.allclose(logits(fused), logits(apart), atol=1e-6)
    assert not torch.allclose(logits(apart), clean, atol=1e-4)


def test_another_part_is_another_function():
    fused, apart = phi3_and_llama()
    with torch.no_grad():
        part, module = by_role(fused)[1, "k"][1], by_role(apart)[1, "v"][1]
        part.parameter.sub_(part.spread(part.weight))
        module.parameter.zero_()
    assert not torch.allclose(logits(fused), logits(apart), atol=1e-4)


def test_the_analysis_of_a_fused_model_is_that_of_the_same_model_apart():
    scores = []
    for model in phi3_and_llama():
        probed = probed_model(model, prompts(), QUICK)
        squares = squared_gradients(probed)
        scores.append({(r.layer, r.role): value for r, value in squares.items()})
    fused, apart = scores
    assert fused.keys() == apart.keys()
    assert fused == pytest.approx(apart, rel=1e-3)


def test_the_damage_of_parts_is_that_of_the_modules():
    damages = []
    for model in phi3_and_llama():
        probed = probed_model(model, prompts(), QUICK)
        own = {(r.layer, r.role): r for r in probed.modules}
        refs = [own[0, "k"], own[0, "v"], own[1, "up"]]
        before = {n: p.detach().clone() for n, p in model.named_parameters()}

        def change(ref, _seed, modules=probed.modules):
            return modules[ref].weight.detach().cos() * 0.2

        damages.append(probed.damage(change, refs, 0).logit)
        assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert damages[0] == pytest.approx(damages[1], rel=1e-3)
    assert damages[0] > 1e-3


@pytest.mark.parametrize("kind", ["phi3", "glm4", "gpt_neox", "gpt2"])
def test_robust_modules_hold_the_parts_of_a_weight_together(kind):
    model = zoo_model(kind)
    found = analyze(model, prompts(), AnalysisSettings(batch_size=16, tau=0.7)).robust
    found.check(model)
    units = {(r.layer, r.role) for r in projections(model)}
    together = as_trained(found.pairs, units) & units
    covered = {(n, p) for n, role in together for p in FUSED.get(role, (role,))}
    assert covered == found.pairs
    assert found.pairs
    assert {t.module.role for t in found.trace} <= {role for _, role in units}


def test_a_fused_weight_is_robust_where_all_its_parts_are():
    trained = [(0, "qkv"), (1, "qkv"), (1, "o")]
    robust = [(0, "q"), (0, "k"), (1, "q"), (1, "k"), (1, "v")]
    assert as_trained(robust, trained) == {*robust, (1, "qkv")}


def test_neox_by_hand():
    """Zeroing the value rows of one layer takes its attention away and leaves its bias."""
    model = zoo_model("gpt_neox")
    attention = model.gpt_neox.layers[0].attention
    seen = []
    attention.dense.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    part = by_role(model)[0, "v"][1]
    with torch.no_grad():
        part.parameter.sub_(part.spread(part.weight))
        attention.query_key_value.bias.zero_()
    logits(model)
    assert seen[-1].abs().max() == 0
    with torch.no_grad():
        part.parameter.add_(part.spread(torch.ones_like(part.weight)))
    logits(model)
    assert seen[-1].abs().max() > 0


def test_a_transposed_weight_is_read_as_out_in():
    model = zoo_model("gpt2")
    module = model.transformer.h[0].mlp.c_fc
    assert isinstance(module, Conv1D)
    x = torch.randn(3, features(module)[1])
    assert torch.allclose(module(x), x @ oriented(module, module.weight).T + module.bias, atol=1e-6)
    assert oriented(module, module.weight).shape == features(module) == (128, 32)
    with torch.no_grad():
        oriented(module, module.weight).zero_()  # A view: what is written there is stored.
    assert module.weight.abs().max() == 0


def test_the_parts_of_a_transposed_weight_are_its_columns():
    own = {r.role: p for r, p in parts(zoo_model("gpt2")).items() if r.layer == 0}
    q, k, v = (own[role] for role in "qkv")
    assert torch.equal(torch.cat([q.weight, k.weight, v.weight], 1), q.parameter)
    assert torch.equal(k.take(q.module.bias), q.module.bias[32:64])
    assert k.spread(k.weight)[:, :32].abs().max() == 0


def test_a_part_is_named_after_its_module_and_role():
    refs = list(parts(zoo_model("phi3")))
    assert ModuleRef(0, "k", "model.layers.0.self_attn.qkv_proj[k]") in refs
