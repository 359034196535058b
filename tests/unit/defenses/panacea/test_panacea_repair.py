"""Post-hoc Panacea on finished models: the step, its scale, its patch, and nothing left behind."""

import gc
import math

import pytest
import torch
from peft import PeftModel

from holdfast import Panacea, apply_panacea
from holdfast.data.chat import collate, encode_prompt
from holdfast.defenses.panacea import Point, choose_scale, measure
from holdfast.defenses.safety_patch import patch_factors, safety_patch
from holdfast.errors import ConflictError, ModelError, RunError
from holdfast.ops.agreement import agreement
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import ascent_step, global_norm
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied
from holdfast.training.standalone import repair
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    encoded,
    example,
    farthest,
    lora,
    trained,
    weights_of,
)

KINDS = (torch.Tensor, torch.nn.Parameter)
FAMILIES = pytest.mark.parametrize("arch", ["llama", "gemma2", "gpt_neox", "opt"])


def logits_of(model):
    batch = batch_of(HARMFUL[:3])
    with torch.no_grad():
        return model.eval()(**{k: v for k, v in batch.items() if k != "labels"}).logits


def all_weights(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize(
    ("arch", "peft"), [*((arch, True) for arch in CONFIGS), ("llama", False), ("gemma2", False)]
)
def test_it_adds_rho_along_the_mean_gradient(arch, peft):
    model = lora(tiny_model(arch)) if peft else tiny_model(arch)
    before = weights_of(model)
    engine = LocalEngine(model)
    gradient, _ = engine.gradients([batch_of(HARMFUL[:5]), batch_of(HARMFUL[5:])])
    expected = ascent_step(gradient, 0.05)
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.05, batch_size=5)
    added = {n: w - before[n] for n, w in weights_of(model).items()}
    assert farthest(added, expected) < 1e-6
    assert farthest(artifact.tensors["perturbation"], expected) < 1e-6
    assert math.isclose(artifact.report["norm"], 0.05, rel_tol=1e-5)
    before, after = artifact.report["harmful_loss"]
    assert after > before


def test_in_a_trainer_it_is_the_same_step_after_plain_training(tmp_path):
    plain = trained(tmp_path).model
    apply_panacea(plain, HARMFUL, tiny_tokenizer(), rho=0.2)
    defended = trained(tmp_path, [Panacea(harmful=HARMFUL, rho=0.2)]).model
    assert farthest(weights_of(plain), weights_of(defended)) < 1e-6


def test_only_the_first_batches_are_averaged_where_asked():
    one, two = tiny_model(), tiny_model()
    apply_panacea(one, HARMFUL, tiny_tokenizer(), batch_size=5, batches=1)
    apply_panacea(two, HARMFUL[:5], tiny_tokenizer(), batch_size=5)
    assert farthest(weights_of(one), weights_of(two)) == 0


def test_kappa_is_a_share_of_the_norm_of_what_is_trained():
    model = lora(tiny_model())
    wanted = 0.05 * global_norm(weights_of(model))
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), kappa=0.05)
    assert math.isclose(global_norm(artifact.tensors["perturbation"]), wanted, rel_tol=1e-5)


def test_a_model_loaded_for_inference_gets_only_its_adapter_edited(tmp_path):
    lora(tiny_model()).save_pretrained(tmp_path)
    model = PeftModel.from_pretrained(tiny_model(), tmp_path).train()
    assert not any(p.requires_grad for p in model.parameters())
    before, flags = all_weights(model), [m.training for m in model.modules()]
    apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.3)
    after = all_weights(model)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed
    assert all("lora_" in n for n in changed)
    assert not any(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())
    assert [m.training for m in model.modules()] == flags


def test_flags_are_put_back_on_a_partly_frozen_bare_model():
    model = tiny_model()
    model.model.embed_tokens.requires_grad_(False)
    apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.3)
    assert not model.model.embed_tokens.weight.requires_grad
    assert model.lm_head.weight.requires_grad


@pytest.mark.parametrize("peft", [False, True])
def test_bf16_is_refused_and_untouched(peft):
    model = lora(tiny_model().bfloat16(), bias="none") if peft else tiny_model().bfloat16()
    if peft:
        for n, p in model.named_parameters():
            p.data = p.data.bfloat16() if "lora_" in n else p.data
    before = all_weights(model)
    with pytest.raises(ConflictError, match="float32"):
        apply_panacea(model, HARMFUL, tiny_tokenizer())
    assert farthest(before, all_weights(model)) == 0


def test_a_bf16_base_with_a_float32_adapter_is_fine():
    model = lora(tiny_model().bfloat16())
    for n, p in model.named_parameters():
        p.data = p.data.float() if "lora_" in n else p.data
    before = all_weights(model)
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.2)
    after = all_weights(model)
    assert all(torch.equal(before[n], after[n]) for n in before if "lora_" not in n)
    assert math.isclose(global_norm(artifact.tensors["perturbation"]), 0.2, rel_tol=1e-5)


@pytest.mark.parametrize("poison", [1e30, 0.0])  # Too large for float32 together: NaN.
def test_no_usable_gradient_is_an_error_and_nothing_is_touched(poison):
    model = tiny_model()
    model.lm_head.weight.data.fill_(poison)
    model.model.norm.weight.data.fill_(poison)
    before = all_weights(model)
    with pytest.raises(RunError, match="no usable gradient"):
        apply_panacea(model, HARMFUL, tiny_tokenizer())
    after = all_weights(model)
    assert all(torch.equal(before[n].nan_to_num(9), after[n].nan_to_num(9)) for n in before)


def test_in_loop_cannot_repair_a_finished_model():
    with pytest.raises(ValueError, match="mode=post-hoc"):
        repair(Panacea(harmful=HARMFUL, mode="in-loop"), tiny_model(), tiny_tokenizer())


# The scale and its frontier


def point(scale, exact, tokens):
    return Point(scale, 1.0, 0.0, exact, tokens)


def test_choose_scale_stops_at_the_first_violation():
    points = [point(0, 1.0, 1.0), point(0.5, 0.99, 1.0), point(1, 0.97, 1.0), point(2, 1.0, 1.0)]
    assert choose_scale(points, 0.01) == 0.5
    assert choose_scale(points, 0.03) == 2
    assert choose_scale(list(reversed(points)), 0.01) == 0.5
    assert choose_scale(points[:1], 0.01) == 0


def test_choose_scale_heeds_tokens_as_well():
    assert choose_scale([point(0, 0.0, 0.9), point(1, 0.0, 0.8)], 0.05) == 0
    assert choose_scale([point(0, 0.5, 0.5), point(1, 0.9, 0.9)], 0.0) == 1


@FAMILIES
def test_exact_share_is_that_of_greedy_generation(arch):
    model, tokenizer = tiny_model(arch), tiny_tokenizer()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.mul_(4)  # Far from ties between first choices.
    model.generation_config.eos_token_id = None  # Answers of three tokens, whatever they are.
    rows = []
    for n, row in enumerate(HARMFUL[:6]):
        ids = encode_prompt(row["prompt"], tokenizer)
        new = {"max_new_tokens": 3, "do_sample": False}
        out = model.generate(torch.tensor([ids]), **new)[0].tolist()
        if n % 3 == 0:
            out[-1] = (out[-1] + 1) % 50 + 7  # One wrong token spoils the whole answer.
        rows.append({"input_ids": out, "labels": [-100] * len(ids) + out[len(ids) :]})
    _, exact, tokens = agreement(LocalEngine(model), [collate(rows[:4], 0), collate(rows[4:], 0)])
    assert exact == pytest.approx(4 / 6)
    assert tokens == pytest.approx(16 / 18)


def test_agreement_loss_is_per_answer_token_over_all_batches():
    model = tiny_model()
    engine, whole = LocalEngine(model), batch_of([*HARMFUL[:4], example("tell me", "no")])
    parts = [batch_of(HARMFUL[:4]), batch_of([example("tell me", "no")])]
    expected = float(engine.loss(whole).detach())
    assert agreement(engine, [whole])[0] == pytest.approx(expected, abs=1e-5)
    assert agreement(engine, parts)[0] == pytest.approx(expected, abs=1e-5)


def test_measure_puts_the_weights_back_and_scale_zero_is_the_model():
    model = tiny_model()
    engine, batch, before = LocalEngine(model), batch_of(HARMFUL), weights_of(model)
    direction = ascent_step(engine.gradients([batch])[0], 0.5)
    points = measure(engine, direction, (0.0, 0.5, 1.0), [batch], [batch_of(BENIGN)])
    assert farthest(before, weights_of(model)) == 0
    losses = [p.harmful_loss for p in points]
    assert losses[0] == pytest.approx(float(engine.loss(batch).detach()), abs=1e-5)
    assert losses == sorted(losses)
    assert all(p.task_tokens is not None for p in points)


def test_the_chosen_scale_is_what_is_added(tmp_path):
    rows = encoded(BENIGN)
    model = trained(tmp_path, rows=rows, max_steps=60, per_device_train_batch_size=10).model
    before = weights_of(model)
    artifact = apply_panacea(
        model, HARMFUL, tiny_tokenizer(), validation=BENIGN, rho=8.0, max_task_drop=0.05
    )
    report, eps = artifact.report, artifact.tensors["perturbation"]
    assert 0 < report["scale"] < 1
    added = {n: w - before[n] for n, w in weights_of(model).items()}
    assert farthest(added, {n: e * report["scale"] for n, e in eps.items()}) < 1e-5
    assert math.isclose(global_norm(eps), 8.0, rel_tol=1e-5)  # ε itself is kept unscaled.
    found = artifact.documents["perturbation"]["frontier"]
    assert [row["scale"] for row in found] == list(Panacea(harmful=[]).scales)
    at = next(r for r in found if r["scale"] == report["scale"])
    assert at["task_exact"] >= found[0]["task_exact"] - 0.05
    curve = report["frontier"]
    assert curve.x == Panacea(harmful=[]).scales
    assert curve.marked == report["scale"]
    assert curve.series["task score"] == tuple(row["task_exact"] for row in found)
    assert curve.series["harmful score"] == tuple(row["harmful_exact"] for row in found)
    assert at["harmful_loss"] == pytest.approx(report["harmful_loss"][1], abs=1e-4)


# What is kept apart


def test_names_are_canonical_and_files_are_float32(tmp_path):
    model = lora(tiny_model())
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.1)
    eps = artifact.tensors["perturbation"]
    assert set(eps) == set(trainable(model))
    assert all(e.dtype == torch.float32 for e in eps.values())
    assert artifact.private
    folder = artifact.save(tmp_path)
    assert (folder / "perturbation.safetensors").is_file()
    assert (folder / "safety_patch" / "adapter_model.safetensors").is_file()


def test_epsilon_can_be_taken_out_again():
    model = tiny_model()
    before = weights_of(model)
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.1)
    LocalEngine(model).edit(artifact.tensors["perturbation"], -artifact.report["scale"])
    assert farthest(before, weights_of(model)) < 1e-6


def test_layer_coefficients_sum_to_the_l1_norm_of_epsilon():
    artifact = apply_panacea(lora(tiny_model()), HARMFUL, tiny_tokenizer(), batch_size=4)
    l1 = sum(float(e.abs().sum()) for e in artifact.tensors["perturbation"].values())
    found = artifact.documents["perturbation"]["safety_coefficient"]
    curve = artifact.report["safety_coefficient"]
    assert next(iter(curve.series.values())) == tuple(r["coefficient"] for r in found["layers"])
    assert math.isclose(sum(r["coefficient"] for r in found["layers"]), l1, rel_tol=1e-5)
    assert found["batches"] == 3
    assert {r["layer"] for r in found["layers"]} == {0, 1}


def test_patch_factors_are_the_exact_product():
    a, b = torch.randn(3, 5).double(), torch.randn(4, 3).double()
    eps_a, eps_b = torch.randn(3, 5).double(), torch.randn(4, 3).double()
    left, right = patch_factors(a, b, eps_a, eps_b)
    assert left.shape == (6, 5)
    assert right.shape == (4, 6)
    assert torch.allclose(right @ left, (b + eps_b) @ (a + eps_a) - b @ a, atol=1e-12)


@pytest.mark.parametrize(
    ("arch", "rslora"),
    [("llama", False), ("llama", True), ("gemma2", False), ("gpt_neox", False), ("opt", False)],
)
def test_the_saved_patch_does_to_the_unperturbed_model_what_epsilon_did(arch, rslora, tmp_path):
    model = lora(tiny_model(arch), use_rslora=rslora)
    untouched = logits_of(model)
    model.save_pretrained(tmp_path / "adapter")
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.5)
    edited = logits_of(model)
    folder = artifact.save(tmp_path)
    # The user's adapter is merged; the patch stands beside it as an adapter of its own.
    merged = PeftModel.from_pretrained(tiny_model(arch), tmp_path / "adapter").merge_and_unload()
    assert torch.allclose(logits_of(merged), untouched, atol=1e-5)
    patched = PeftModel.from_pretrained(merged, folder / "safety_patch")
    assert torch.allclose(logits_of(patched), edited, atol=2e-5)
    assert float((edited - untouched).abs().max()) > 1e-3
    with patched.disable_adapter():
        assert torch.allclose(logits_of(patched), untouched, atol=1e-5)


def test_the_patch_beside_the_users_adapter(tmp_path):
    model = lora(tiny_model())
    model.save_pretrained(tmp_path / "adapter")
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.5)
    folder = artifact.save(tmp_path) / "safety_patch"
    both = PeftModel.from_pretrained(tiny_model(), tmp_path / "adapter")
    both.load_adapter(folder, "patch")
    both.base_model.set_adapter(["default", "patch"])
    assert torch.allclose(logits_of(both), logits_of(model), atol=2e-5)


def test_the_patch_has_the_chosen_scale():
    model = lora(tiny_model())
    before = copied(trainable(model))
    eps = {n: torch.ones_like(w) * 0.01 for n, w in before.items()}
    half, full = (safety_patch(model, before, {n: e * s for n, e in eps.items()}) for s in (0.5, 1))
    name = next(iter(full.factors))
    (a, b), (c, d) = half.factors[name], full.factors[name]
    assert a.shape[0] == 8
    assert not torch.allclose(b @ a, d @ c)


def test_two_perturbed_adapters_make_one_patch(tmp_path):
    model = lora(tiny_model())
    model.add_adapter("second", model.peft_config["default"])
    model.base_model.set_adapter(["default", "second"])
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B.second" in n:
                p.fill_(0.01)
    base = lora(tiny_model())
    untouched, before = logits_of(model), copied(trainable(model))
    artifact = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.5)
    assert len(before) == 2 * len(trainable(base))
    edited, folder = logits_of(model), artifact.save(tmp_path) / "safety_patch"
    with torch.no_grad():
        for n, p in trainable(model).items():
            p.copy_(before[n])
    assert torch.allclose(logits_of(model), untouched)
    model.load_adapter(folder, "patch")
    model.base_model.set_adapter(["default", "second", "patch"])
    assert torch.allclose(logits_of(model), edited, atol=2e-5)


def test_a_bare_model_has_no_patch_and_dora_none_either():
    bare = apply_panacea(tiny_model(), HARMFUL, tiny_tokenizer(), rho=0.1)
    dora = apply_panacea(lora(tiny_model(), use_dora=True), HARMFUL, tiny_tokenizer(), rho=0.1)
    assert set(bare.tensors) == set(dora.tensors) == {"perturbation"}
    with pytest.raises(ModelError, match="LoRA"):
        safety_patch(tiny_model(), {}, {"model.norm.weight": torch.ones(1)})


@pytest.mark.slow
def test_memory_does_not_grow_with_the_harmful_batches(monkeypatch):
    """At every pass, at most three copies of the trained tensors live beside the weights."""
    model, most = tiny_model(), [0.0]
    shape, forward = model.lm_head.weight.shape, LocalEngine.forward
    weights = sum(p.shape == shape for p in model.parameters())

    def watching(self, batch):
        gc.collect()
        alive = {o.data_ptr() for o in gc.get_objects() if type(o) in KINDS and o.shape == shape}
        most[0] = max(most[0], len(alive) / weights)
        return forward(self, batch)

    apply_panacea(model, HARMFUL, tiny_tokenizer(), batch_size=1)  # Fills torch's own caches.
    gc.collect()
    known = {o.data_ptr() for o in gc.get_objects() if type(o) in KINDS and o.shape == shape}
    monkeypatch.setattr(LocalEngine, "forward", watching)
    apply_panacea(model, HARMFUL, tiny_tokenizer(), validation=BENIGN, batch_size=1)
    assert most[0] - len(known) / weights <= 3
    assert most[0] > 1
