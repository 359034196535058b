"""A type that the table does not know: its live layers show the roles, or it is refused by name."""

import pytest
import torch
from torch import nn

from holdfast.errors import ModelError
from holdfast.ops.modules import left_out, parts, projections
from holdfast.ops.roles import names, shown
from tests.unit.defenses.tiny_runs import lora
from tests.zoo import zoo_model

KINDS = ("llama", "phi3", "gpt2", "falcon", "bloom", "mpt", "opt", "qwen3_moe", "gemma3")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """What other tests have shown is forgotten, and what these show is."""
    for held, module in (("_PROVEN", names), ("_SHOWN", shown), ("_ROWS", shown)):
        monkeypatch.setattr(module, held, {})


def unknown(model):
    """The same model under a type that nobody has heard of."""
    model.config.get_text_config().model_type = "novel"
    return model


def renamed(model, **others):
    """An unknown model whose modules have other names in every layer's attention."""
    for layer in model.model.layers:
        for old, new in others.items():
            module = getattr(layer.self_attn, old)
            delattr(layer.self_attn, old)
            setattr(layer.self_attn, new, module)
            layer.self_attn.__class__ = answering(type(layer.self_attn), old, new)
    return unknown(model)


def answering(cls, old, new):
    """A class whose instances find the module of the old name under the new one."""

    def getter(self):
        return self._modules[new]

    return type(cls.__name__, (cls,), {old: property(getter)})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peft", [False, True])
def test_roles_and_rows_are_those_of_the_table(kind, peft):
    known, other = zoo_model(kind), unknown(zoo_model(kind))
    other = lora(other) if peft and "moe" not in kind else other
    assert list(projections(other)) == list(projections(known))
    ours, theirs = parts(other), parts(known)
    assert list(ours) == list(theirs)
    for ref, part in theirs.items():
        rows = ours[ref].rows
        assert (rows is None) == (part.rows is None)
        assert rows is None or torch.equal(rows, part.rows)


def test_names_that_nobody_knows_get_the_role_that_they_play():
    model = renamed(zoo_model("llama"), q_proj="asking", v_proj="telling", o_proj="q_out")
    found = {ref.name.rpartition(".")[2]: ref.role for ref in projections(model)}
    assert found == {
        "asking": "q", "k_proj": "k", "telling": "v", "q_out": "o",
        "gate_proj": "gate", "up_proj": "up", "down_proj": "down",
    }  # fmt: skip
    ref = names.ref_of("base_model.model.model.layers.1.self_attn.asking.lora_A.default.weight")
    assert (ref.layer, ref.role) == (1, "q")
    assert left_out(model).keys() == left_out(zoo_model("llama")).keys()


def test_a_name_that_means_another_thing_here_is_refused():
    model = renamed(zoo_model("llama"), q_proj="w", k_proj="q_proj")
    with pytest.raises(ModelError, match=r"'self_attn\.q_proj' is 'k'.*and 'q' in others"):
        projections(model)


def test_weights_are_left_as_they_are_and_no_hook_stays():
    model = unknown(zoo_model("phi3")).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    parts(model)
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert model.training


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("deepseek_v2", r"layer 0 .*'self_attn\.q_a_proj' fits no role"),
        ("gpt_oss", r"layer 0 .*'self_attn\.o_proj' reads mixes tokens in no way"),
        ("qwen3_5_text", r"layer 0 .*'linear_attn\.in_proj_qkv' has the role of"),
        ("mamba", r"'mamba'.*layer 0 .*'mixer\.dt_proj' is not called"),
        ("rwkv", r"'rwkv'.*layer 0 .*mixes tokens in no way"),
    ],
)
def test_what_does_not_show_its_roles_is_refused_with_the_reason(kind, said):
    model = zoo_model(kind)
    model = model if kind in said else unknown(model)
    with pytest.raises(ModelError, match=said):
        projections(model)


def test_a_projection_that_nothing_reads_is_refused():
    model = unknown(zoo_model("llama"))
    model.model.layers[1].mlp.idle = nn.Linear(32, 32)
    with pytest.raises(ModelError, match=r"layer 1 .*'mlp\.idle' is not called"):
        projections(model)


def test_without_weights_it_cannot_be_shown():
    with torch.device("meta"):
        model = unknown(zoo_model("llama"))
    with pytest.raises(ModelError, match="load its weights"):
        projections(model)


def test_a_layer_is_looked_at_once(monkeypatch):
    model, runs = unknown(zoo_model("llama")), []
    own = shown.entering
    monkeypatch.setattr(shown, "entering", lambda *given: runs.append(1) or own(*given))
    for _ in range(3):
        projections(model)
    assert len(runs) == 1
