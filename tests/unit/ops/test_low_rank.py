"""A low-rank change on hooks, merged, and as an adapter that PEFT itself loads."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from holdfast.errors import ConfigError, ModelError
from holdfast.files.adapters import adapter_files, read_adapter
from holdfast.ops.low_rank import LowRank, delta
from tests.tiny import CONFIGS, tiny_model

IDS = torch.tensor([[1, 8, 9, 10, 11, 4]])
ARCHS = pytest.mark.parametrize("arch", CONFIGS)


def change_of(model, rank=3, alpha=6.0):
    """A change whose B is not zero."""
    change = LowRank.zero(model, rank, alpha, None, seed=0)
    generator = torch.Generator().manual_seed(1)
    for _, b in change.factors.values():
        b.copy_(torch.randn(b.shape, generator=generator) * 0.05)
    return change


def saved(change, folder):
    tensors, config = adapter_files(change.tensors(), "base")
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@torch.no_grad()
@ARCHS
def test_hooked_equals_merged(arch):
    model = tiny_model(arch)
    change, plain = change_of(model), model(IDS).logits
    with change.hooked(model, 0.5):
        hooked = model(IDS).logits
    assert torch.equal(model(IDS).logits, plain)
    for name, linear in change.linears(model).items():
        linear.weight.add_(change.change(name, linear, 0.5))
    merged = model(IDS).logits
    assert float((merged - plain).abs().max()) > 1e-3
    assert torch.allclose(hooked, merged, atol=1e-5)


@torch.no_grad()
@ARCHS
def test_peft_loads_what_we_save(arch, tmp_path):
    model = tiny_model(arch)
    change = change_of(model)
    with change.hooked(model):
        hooked = model(IDS).logits
    adapted = PeftModel.from_pretrained(tiny_model(arch), saved(change, tmp_path))
    assert torch.allclose(adapted(IDS).logits, hooked, atol=1e-5)
    assert not torch.allclose(model(IDS).logits, hooked, atol=1e-3)


@torch.no_grad()
def test_ranks_may_differ_between_modules(tmp_path):
    model = tiny_model()
    change = change_of(model)
    name = next(iter(change.factors))
    a, b = change.factors[name]
    change.factors[name] = torch.cat([a, a]), torch.cat([b, -0.5 * b], dim=1)
    with change.hooked(model):
        hooked = model(IDS).logits
    adapted = PeftModel.from_pretrained(tiny_model(), saved(change, tmp_path))
    assert torch.allclose(adapted(IDS).logits, hooked, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("rslora", [False, True])
def test_we_load_what_peft_saves_with_its_scale(rslora, tmp_path):
    config = LoraConfig(
        r=2, lora_alpha=6, target_modules="all-linear", use_rslora=rslora,
        alpha_pattern={"q_proj": 10}, rank_pattern={"layers.1.mlp.up_proj": 4},
    )  # fmt: skip
    adapted = get_peft_model(tiny_model(), config)
    for n, p in adapted.named_parameters():
        if "lora_B" in n:
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(2)) * 0.05)
    adapted.save_pretrained(tmp_path)
    model, change = tiny_model(), LowRank.from_tensors(read_adapter(tmp_path))
    with change.hooked(model):
        assert torch.allclose(model(IDS).logits, adapted(IDS).logits, atol=1e-5)


def test_a_scale_loses_nothing_in_low_precision(tmp_path):
    change = change_of(tiny_model())
    saved(change, tmp_path)
    file, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    low = {name: t.bfloat16() for name, t in load_file(file).items()}
    save_file(low, file)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
    rank = json.loads(config.read_text())["r"]
    read = read_adapter(tmp_path)
    for name, t in low.items():
        wanted = t.float() * (rank**0.5 if "lora_B" in name else 1.0)
        assert torch.equal(read[name], wanted)


def test_round_trip_through_tensors_folds_the_scale_into_b():
    change = change_of(tiny_model())
    back = LowRank.from_tensors(change.tensors())
    assert change.scale == 2.0
    for name, (a, b) in change.factors.items():
        assert torch.equal(delta(*back.factors[name]), delta(a, b * 2.0))


def test_a_fresh_change_is_zero_seeded_and_kaiming():
    model = tiny_model()
    one, two = (LowRank.zero(model, 4, 8.0, None, seed) for seed in (0, 1))
    again = LowRank.zero(model, 4, 8.0, None, 0)
    for name, (a, b) in one.factors.items():
        assert not b.any()
        assert float(a.abs().max()) <= a.shape[1] ** -0.5
        assert torch.equal(a, again.factors[name][0])
        assert not torch.equal(a, two.factors[name][0])
    chosen = LowRank.zero(model, 4, 8.0, frozenset({"q", "v"}), 0)
    assert {n.rsplit(".", 1)[1] for n in chosen.factors} == {"q_proj", "v_proj"}


def test_hooks_are_gone_after_an_exception():
    model = tiny_model()
    with pytest.raises(ZeroDivisionError), change_of(model).hooked(model):
        raise ZeroDivisionError
    assert not any(m._forward_hooks for m in model.modules())


@torch.no_grad()
def test_it_works_inside_a_peft_model():
    change, ids = change_of(tiny_model()), IDS
    adapted = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules="all-linear"))
    bare = tiny_model()
    with change.hooked(adapted), change.hooked(bare):
        assert torch.allclose(adapted(ids).logits, bare(ids).logits, atol=1e-6)


@pytest.mark.parametrize("other", ["qwen2", "gpt_neox"])
def test_a_change_of_another_model_is_refused_by_name(other):
    change = change_of(tiny_model("llama"))
    model = tiny_model(other)
    if other == "qwen2":  # Same names, another shape.
        model.model.layers[0].self_attn.k_proj = torch.nn.Linear(32, 32)
    with (
        pytest.raises(ModelError, match=r"model\.layers\.0\..*another model"),
        change.hooked(model),
    ):
        pass


@pytest.mark.parametrize("fault", ["missing", "config", "not json", "dora", "kind", "no number"])
def test_a_broken_adapter_folder_is_refused(fault, tmp_path):
    saved(change_of(tiny_model()), tmp_path)
    file, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    if fault == "missing":
        file.unlink()
    elif fault == "config":
        config.unlink()
    elif fault == "not json":
        config.write_text("{")
    elif fault == "no number":
        save_file({name: t * torch.nan for name, t in load_file(file).items()}, file)
    elif fault == "kind":
        config.write_text(json.dumps({"peft_type": "IA3"}))
    else:
        save_file({"base_model.model.x.lora_magnitude_vector": torch.ones(1)}, file)
    with pytest.raises(ConfigError) as error:
        read_adapter(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
