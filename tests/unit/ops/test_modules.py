"""Roles and layers of eight architectures; names that survive wrapping; refusals by name."""

import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, Gemma3Config

from holdfast.errors import ModelError
from holdfast.ops.modules import (
    attentions,
    canonical,
    decoder_layers,
    parts,
    plain_name,
    projections,
    ref_of,
    trainable,
)
from tests.tiny import CONFIGS, LAYERS, tiny_model

GATED = {"q", "k", "v", "o", "gate", "up", "down"}
ROLES = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"), GATED),
    "gpt_neox": {"qkv", "o", "up", "down"},
    "opt": {"q", "k", "v", "o", "up", "down"},
}
WRAPPERS = ("_orig_mod", "module", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
ARCHS = pytest.mark.parametrize("arch", CONFIGS)


class Wrapper(nn.Module):
    """Stands where DDP, FSDP, torch.compile or activation checkpointing would."""

    def __init__(self, inner, name):
        super().__init__()
        self.config = getattr(inner, "config", None)
        setattr(self, name, inner)


def with_lora(model):
    return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))


def refs(model):
    return list(projections(model))


@ARCHS
def test_every_layer_has_every_role_once(arch):
    found = [(ref.layer, ref.role) for ref in refs(tiny_model(arch))]
    assert sorted(found) == sorted((n, role) for n in range(LAYERS) for role in ROLES[arch])


@ARCHS
def test_every_linear_of_a_layer_is_found(arch):
    model = tiny_model(arch)
    linears = {m for n, m in model.named_modules() if isinstance(m, nn.Linear) and ".layers." in n}
    assert set(projections(model).values()) == linears


@ARCHS
def test_peft_changes_neither_roles_nor_names(arch):
    model = tiny_model(arch)
    bare = {ref: module.weight for ref, module in projections(model).items()}
    adapted = {ref: module.weight for ref, module in projections(with_lora(model)).items()}
    assert bare.keys() == adapted.keys()
    assert all(bare[ref] is adapted[ref] for ref in bare)


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("peft", [False, True])
def test_wrapping_changes_neither_roles_nor_names(name, peft):
    model = tiny_model()
    plain = with_lora(model) if peft else model
    before, parameters = refs(plain), list(trainable(plain))
    layers = model.model.layers
    for n, layer in enumerate(layers):
        layers[n] = Wrapper(layer, name)
    wrapped = Wrapper(plain, name)
    assert name in dict(wrapped.named_modules())
    assert refs(wrapped) == before
    assert list(trainable(wrapped)) == parameters


def test_lora_factors_belong_to_their_projection():
    roles = {ref_of(name).role for name in trainable(with_lora(tiny_model()))}
    assert roles == GATED
    ref = ref_of("base_model.model.model.layers.11.self_attn.q_proj.lora_A.default.weight")
    assert (ref.layer, ref.role, ref.name) == (11, "q", "model.layers.11.self_attn.q_proj")


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
)
def test_what_lies_outside_the_layers_is_layer_minus_one(name):
    assert (ref_of(name).layer, ref_of(name).role) == (-1, "other")


def test_a_layer_norm_has_its_layer_and_no_role():
    ref = ref_of("model.layers.1.input_layernorm.weight")
    assert (ref.layer, ref.role) == (1, "other")


def test_names_lose_only_what_wrappers_and_peft_add():
    wrapped = "module._orig_mod.base_model.model.model.layers.0._fsdp_wrapped_module.mlp.up_proj"
    assert canonical(wrapped) == "base_model.model.model.layers.0.mlp.up_proj"
    assert plain_name(f"{wrapped}.base_layer") == "model.layers.0.mlp.up_proj"
    assert plain_name(f"{wrapped}.base_layer.weight") == "model.layers.0.mlp.up_proj.weight"


def test_a_fused_projection_is_one_module_and_three_parts():
    model = tiny_model("gpt_neox")
    assert [r.role for r in projections(model) if r.layer == 0] == ["down", "o", "qkv", "up"]
    own = {r.role: p for r, p in parts(model).items() if r.layer == 0}
    assert list(own) == ["down", "k", "o", "q", "up", "v"]
    fused = model.gpt_neox.layers[0].attention.query_key_value
    rows = torch.cat([own[role].rows for role in "qkv"]).sort()[0]
    assert torch.equal(rows, torch.arange(fused.out_features))
    assert all(own[role].parameter is fused.weight for role in "qkv")
    ref = next(r for r in parts(model) if r.role == "k")
    assert ref_of(f"{ref.name}.weight") == ref
    assert list(parts(tiny_model("llama"))) == list(projections(tiny_model("llama")))


def test_an_unknown_architecture_without_layers_is_refused_by_name():
    with pytest.raises(ModelError, match="'unknown'"):
        projections(nn.Linear(2, 2))


def test_an_unknown_projection_is_refused_by_name():
    model = tiny_model()
    model.model.layers[1].mlp.shared_expert = nn.Linear(4, 4)
    with pytest.raises(ModelError, match=re.escape("model.layers.1.mlp.shared_expert")):
        projections(model)


def test_the_vision_tower_of_gemma3_is_not_its_decoder():
    decoder = tiny_model("gemma3").config.to_dict()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    vision = {**sizes, "num_hidden_layers": 3, "image_size": 8, "patch_size": 4}
    config = Gemma3Config(text_config=decoder, vision_config=vision, mm_tokens_per_image=4)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert any("vision_tower" in name for name, _ in model.named_modules())
    found = [(ref.layer, ref.role) for ref in refs(model)]
    assert sorted(found) == sorted((n, role) for n in range(LAYERS) for role in GATED)


@ARCHS
@pytest.mark.parametrize("peft", [False, True])
def test_layers_and_their_attentions_in_order(arch, peft):
    model = tiny_model(arch)
    linears = {(r.layer, r.role): m for r, m in projections(model).items()}
    layers = [m for n, m in model.named_modules() if re.search(r"layers\.\d+$", n)]
    model = with_lora(model) if peft else model
    assert decoder_layers(model) == layers
    found = attentions(model)
    assert [type(m).__name__.endswith("Attention") for m in found] == [True] * LAYERS
    for n, attention in enumerate(found):
        own = set(attention.modules())
        inside = {role for (layer, role), m in linears.items() if layer == n and m in own}
        assert inside == ROLES[arch] & {"q", "k", "v", "o", "qkv"}


def test_the_layers_of_gemma3s_vision_tower_are_not_its_decoders():
    model = nn.Module()
    model.vision_tower = nn.Module()
    model.vision_tower.layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    model.layers = nn.ModuleList([nn.Linear(2, 2)])
    assert decoder_layers(model) == [model.layers[0]]


def test_no_layers_where_they_are_looked_for():
    with pytest.raises(ModelError, match="Linear has no decoder layers"):
        decoder_layers(nn.Linear(2, 2))


def test_projections_of_another_class_are_refused():
    model = tiny_model()
    for layer in model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, child in list(part.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(part, name, nn.Identity())
    with pytest.raises(ModelError, match=r"hold no torch\.nn\.Linear"):
        projections(model)


def test_a_layer_without_attention_is_refused():
    model = tiny_model()
    model.model.layers[1].self_attn.o_proj = nn.Identity()
    with pytest.raises(ModelError, match=r"layer 1 of .* no attention"):
        attentions(model)
