"""ΔW against merged models, and norms that count every weight once."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from holdfast.analysis.changes import (
    change_norms,
    inside_outside,
    movement,
    projection_changes,
    tuned_states,
    weight_changes,
)
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.analysis.pipeline import AnalysisSettings, probed_model
from holdfast.analysis.probing.prompts import Prompts
from holdfast.analysis.probing.suffix import Suffix
from holdfast.errors import ModelError
from tests.tiny import tiny_model
from tests.zoo import zoo_model

ROBUST = RobustModules(
    layers=2,
    roles=["q", "k", "v", "o", "gate", "up", "down"],
    modules=[ModuleAt(layer=0, role="q"), ModuleAt(layer=1, role="down")],
)


def adapted(base, seed=1, **options):
    """A LoRA model around ``base`` with random factors."""
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear"} | options)
    model = get_peft_model(base, config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.normal_(std=0.1)
    return model


def merged(model):
    return copy.deepcopy(model).merge_and_unload()


def prompts():
    generator = torch.Generator().manual_seed(0)

    def some(low: int, high: int) -> list[list[int]]:
        return [
            torch.randint(low, high, (int(5 + n % 4),), generator=generator).tolist()
            for n in range(24)
        ]

    return Prompts(some(7, 25), some(25, 45), [], [])


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"target_modules": ["v_proj"]}])
def test_an_adapters_change_is_what_a_merge_adds(options):
    base = tiny_model()
    model = adapted(tiny_model(), **options)
    ours, added = projection_changes(base, model), dict(merged(model).named_parameters())
    for name, change in ours.items():
        old = dict(base.named_parameters())[f"{name}.weight"]
        # A merge adds the very same numbers to the weight, and rounds once.
        assert torch.equal(old + change, added[f"{name}.weight"]), name
    assert sum(bool(c.any()) for c in ours.values()) == (2 if "target_modules" in options else 14)


def test_the_change_is_s_b_a_itself():
    model = adapted(tiny_model())
    change = projection_changes(tiny_model(), model)["model.layers.1.mlp.up_proj"]
    layer = model.base_model.model.model.layers[1].mlp.up_proj
    assert torch.equal(
        change, (layer.lora_B["default"].weight @ layer.lora_A["default"].weight) * 2
    )


def test_a_full_models_change_is_the_difference():
    base, tuned = tiny_model(), tiny_model()
    with torch.no_grad():
        tuned.model.layers[0].self_attn.q_proj.weight.add_(0.5)
    norms = change_norms(base, tuned)
    moved = {name: norm for name, norm in norms.items() if norm}
    assert moved == {"model.layers.0.self_attn.q_proj.weight": pytest.approx(0.5 * 32)}


def test_a_model_around_the_very_base_counts_its_adapter():
    base = tiny_model()
    model = adapted(base)
    alone = projection_changes(tiny_model(), model)
    for name, change in projection_changes(base, model).items():
        assert torch.equal(change, alone[name])
        assert change.any()


def test_two_adapters_of_one_base_differ_by_both():
    first, second = adapted(tiny_model(), 1), adapted(tiny_model(), 2)
    both = projection_changes(first, second)
    ours, theirs = (projection_changes(tiny_model(), m) for m in (first, second))
    for name, change in both.items():
        assert torch.allclose(change, theirs[name] - ours[name])


def test_saved_modules_and_disabled_adapters_are_seen():
    model = adapted(tiny_model(), modules_to_save=["lm_head"], target_modules=["q_proj"])
    with torch.no_grad():
        model.base_model.model.lm_head.modules_to_save["default"].weight.add_(1.0)
    norms = change_norms(tiny_model(), model)
    assert norms["lm_head.weight"] > 1
    with model.disable_adapter():
        quiet = change_norms(tiny_model(), model)
    assert quiet["model.layers.0.self_attn.q_proj.weight"] == 0


def test_tied_weights_count_once():
    base, tuned = tiny_model(), tiny_model()
    for model in (base, tuned):
        model.config.tie_word_embeddings = True
        model.lm_head.weight = model.model.embed_tokens.weight
    with torch.no_grad():
        tuned.lm_head.weight.add_(1.0)
    _, outside = inside_outside(change_norms(base, tuned), ROBUST)
    assert outside == pytest.approx(tuned.lm_head.weight.numel() ** 0.5, rel=1e-5)


def test_an_adapter_on_a_tied_head_is_a_change_of_its_own():
    base, plain = tiny_model(), tiny_model()
    for model in (base, plain):
        model.config.tie_word_embeddings = True
        model.lm_head.weight = model.model.embed_tokens.weight
    model = adapted(plain, target_modules=["lm_head", "q_proj"])
    layer = model.base_model.model.lm_head
    added = float(layer.get_delta_weight("default").detach().norm())
    norms = change_norms(base, model)
    assert norms["lm_head.weight"] == pytest.approx(added) != 0
    assert norms["model.embed_tokens.weight"] == 0
    with torch.no_grad():  # The weight that both share counts once, with the embeddings.
        model.base_model.model.model.embed_tokens.weight.add_(1.0)
    norms = change_norms(base, model)
    assert norms["lm_head.weight"] == pytest.approx(added)
    shared = base.lm_head.weight.numel() ** 0.5
    assert norms["model.embed_tokens.weight"] == pytest.approx(shared, rel=1e-5)


@pytest.mark.parametrize("kind", ["qwen3_moe", "gpt_oss"])
def test_an_adapter_of_stacked_experts_is_a_change_of_them(kind):
    """Its layer wraps a module, and what it adapts is one of that module's parameters."""
    stacked = ["experts.gate_up_proj", "experts.down_proj"]
    model = adapted(zoo_model(kind), target_modules=[], target_parameters=stacked).eval()
    found, wanted = (change_norms(zoo_model(kind), m) for m in (model, merged(model)))
    moved = {name for name, norm in wanted.items() if norm}
    assert len(moved) == 4
    assert found == pytest.approx(wanted, rel=1e-5)


def test_an_adapter_that_no_weight_is_known_for_is_refused():
    base, plain = tiny_model(), tiny_model()
    for model in (base, plain):
        model.extra = torch.nn.MultiheadAttention(32, 4)
    with pytest.raises(ModelError, match=r"an adapter changes extra\.weight, and the base"):
        change_norms(base, adapted(plain, target_modules=["extra"]))


def test_every_weight_is_inside_or_outside():
    base, tuned = tiny_model(), tiny_model(seed=1)
    changes = dict(weight_changes(base, tuned))
    inside, outside = inside_outside(change_norms(base, tuned), ROBUST)
    inner = [changes[f"model.layers.{m}.weight"] for m in ("0.self_attn.q_proj", "1.mlp.down_proj")]
    whole = sum(float(c.double().square().sum()) for c in changes.values())
    assert inside == pytest.approx(sum(float(c.double().square().sum()) for c in inner) ** 0.5)
    assert inside**2 + outside**2 == pytest.approx(whole)


def test_movement_of_an_adapter_is_that_of_its_merged_model():
    base = tiny_model()
    probed = probed_model(base, prompts(), AnalysisSettings(batch_size=7))
    still = movement(probed, ROBUST, tiny_model())
    assert still["inside"] == still["outside"] == 0
    assert still["probe_drift"] == pytest.approx(0, abs=1e-6)
    assert still["probe_accuracy"] > 0.8  # Of the benign prompts almost none is called harmful.
    model = adapted(tiny_model())
    ours, theirs = movement(probed, ROBUST, model), movement(probed, ROBUST, merged(model))
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours["probe_drift"] > 0.01
    assert set(ours) == {"inside", "outside", "probe_drift", "probe_accuracy"}


def test_states_are_in_the_order_of_the_prompts():
    given = prompts()
    probed = probed_model(tiny_model(), given, AnalysisSettings(batch_size=5))
    tuned = tiny_model(seed=3)
    alone = Suffix(tuned, [*given.harmful, *given.benign], batch_size=1, cached=False).clean
    assert torch.allclose(tuned_states(probed, tuned), alone, atol=1e-5)


def test_what_cannot_be_compared_is_refused():
    base = tiny_model()
    with pytest.raises(ModelError, match="base model itself"):
        change_norms(base, base)
    with pytest.raises(ModelError, match="not of this base"):
        change_norms(base, tiny_model("qwen2"))
    with pytest.raises(ModelError, match=r"DoRA.*merge"):
        change_norms(base, adapted(tiny_model(), use_dora=True))
    wider = tiny_model()
    wider.resize_token_embeddings(200)
    with pytest.raises(ModelError, match=r"embed_tokens.weight has shape \(200, 32\)"):
        change_norms(base, wider)
