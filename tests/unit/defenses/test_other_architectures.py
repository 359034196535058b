"""Methods on fused, transposed, renamed and stacked weights: exact, or refused by name."""

import pytest
import torch
from peft import PeftModel

from holdfast import MLLR, RESTA, SWAT, Panacea, SafeLoRA, repair
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import plain_name, projections, ref_of
from holdfast.ops.roles.names import kind_left_out, place_of
from holdfast.ops.roles.parts import features, oriented
from holdfast.training.lora_targets import what_is_trained
from holdfast.training.sft_options import lora as lora_config
from tests.tiny import LAYERS, tiny_tokenizer
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of, lora, trainer_of
from tests.zoo import zoo_model

ASK = batch_of(HARMFUL[:3])["input_ids"]
ODD = ("gpt2", "phi3", "gemma3", "falcon", "qwen3_5_text", "deepseek_v2")


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ASK).logits


def with_adapter(model):
    """A LoRA on the decoder's projections whose product is not zero."""
    config, _ = what_is_trained(lora_config(4, 8), model)
    return lora(model, target_modules=config.target_modules)


def dense(model):
    """What the adapter adds to each projection, (out, in), by probing the live layers."""
    out = {}
    modules = {plain_name(n): m for n, m in model.named_modules() if "base_layer" not in n}
    for ref, base in projections(model).items():
        module, eye = modules[ref.name], torch.eye(features(base)[1])
        with torch.no_grad(), model.disable_adapter():
            before = module(eye)
        with torch.no_grad():
            out[ref.name] = (module(eye) - before).T.double()
    return out


def matrices(model):
    return {r.name: oriented(m, m.weight.detach()).double() for r, m in projections(model).items()}


def projected(change, aligned, base):
    v = aligned - base
    return v @ v.T @ change / v.norm()


@pytest.mark.parametrize("kind", ODD)
def test_safe_lora_projects_each_dense_change(kind, tmp_path):
    zoo_model(kind, 1).save_pretrained(tmp_path / "base")
    model, ours, theirs = with_adapter(zoo_model(kind)), zoo_model(kind), zoo_model(kind, 1)
    before, aligned, base = dense(model), matrices(ours), matrices(theirs)
    repair(SafeLoRA(base=str(tmp_path / "base"), tau=1.0), model, tiny_tokenizer())
    moved = 0
    for name, now in dense(model).items():
        wanted = projected(before[name], aligned[name], base[name])
        moved += bool(before[name].any())
        assert torch.allclose(now, wanted, atol=1e-5), name
    assert moved > 3


@pytest.mark.parametrize("kind", ["gpt2", "gemma3"])
def test_safe_lora_projects_whole_weights_as_they_are_stored(kind, tmp_path):
    for seed, name in ((0, "aligned"), (1, "base")):
        zoo_model(kind, seed).save_pretrained(tmp_path / name)
    model, tuned = zoo_model(kind), {}
    for ref, module in projections(model).items():
        module.weight.data.add_(module.weight.data.cos() * 0.05)
        tuned[ref.name] = oriented(module, module.weight.detach()).double().clone()
    aligned, base = matrices(zoo_model(kind)), matrices(zoo_model(kind, 1))
    folders = {n: str(tmp_path / n) for n in ("aligned", "base")}
    repair(SafeLoRA(tau=1.0, **folders), model, tiny_tokenizer())
    for name, now in matrices(model).items():
        wanted = aligned[name] + projected(tuned[name] - aligned[name], aligned[name], base[name])
        assert torch.allclose(now, wanted, atol=1e-4), name


@pytest.mark.parametrize("kind", ODD)
def test_a_vector_in_the_weights_is_the_vector_beside_them(kind):
    model = zoo_model(kind)
    vector = LowRank.zero(model, 2, 4.0, None, 0)
    for n, tensor in enumerate(vector.parameters()):
        tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(n)) * 0.1)
    clean = logits(model)
    with vector.hooked(model):
        beside = logits(model)
    with torch.no_grad():
        for name, module in vector.linears(model).items():
            module.weight.add_(vector.change(name, module))
    assert torch.allclose(logits(model), beside, atol=1e-4)
    assert not torch.allclose(beside, clean, atol=1e-2)


@pytest.mark.parametrize("kind", ["gpt2", "phi3", "qwen3_moe"])
def test_the_safety_patch_is_the_repair_as_an_adapter(kind, tmp_path):
    model = with_adapter(zoo_model(kind))
    artifact = repair(Panacea(harmful=HARMFUL, rho=0.5), model, tiny_tokenizer())
    folder = artifact.save(tmp_path) / "safety_patch"
    # The tuned model before the repair, with the patch on top.
    merged = with_adapter(zoo_model(kind)).merge_and_unload()
    patched = PeftModel.from_pretrained(merged, folder)
    assert torch.allclose(logits(patched), logits(model), atol=1e-4)


def listed(folder, modules, kind, **rest):
    every = [ModuleAt(layer=n, role=role) for n, role in sorted(modules)]
    roles = sorted({role for _, role in modules})
    file = RobustModules(layers=LAYERS, roles=roles, modules=every, architecture=kind, **rest)
    return str(file.save(folder / "robust.json"))


@pytest.mark.parametrize("kind", ["phi3", "gpt2", "falcon"])
def test_a_fused_weight_learns_where_all_of_it_is_robust_and_is_held_else(kind, tmp_path):
    robust = {(0, "q"), (0, "k"), (0, "v"), (1, "q"), (1, "down")}
    model, said = zoo_model(kind), []
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    swat = SWAT(modules=listed(tmp_path, robust, kind), warmup=1.0)
    trainer = trainer_of(tmp_path / "run", [swat], model=model, max_steps=2)
    trainer.say = said.append
    trainer.train()
    moved = {
        (ref_of(n).layer, ref_of(n).role)
        for n, p in model.named_parameters()
        if not torch.equal(p, before[n])
    }
    assert moved == {(0, "qkv"), (1, "down")}
    assert swat.robust_ == [[0, "qkv"], [1, "down"]]
    assert any("q of layer 1" in line and "fused" in line for line in said)


def test_a_list_of_one_part_alone_is_refused_before_training(tmp_path):
    swat = MLLR(modules=listed(tmp_path, {(0, "q")}, "phi3"))
    with pytest.raises(ConfigError, match=r"subset=robust is empty: 1 modules.*qkv"):
        trainer_of(tmp_path / "run", [swat], model=zoo_model("phi3"), max_steps=1).train()


def test_a_resumed_run_of_an_unknown_type_knows_its_roles(tmp_path):
    def model():
        made = zoo_model("llama")
        made.config.model_type = "novel"
        return made

    def run(steps, resume=None):
        rates = MLLR(modules=listed(tmp_path, {(0, "q"), (1, "v")}, "novel"), ratio=0.0)
        trainer = trainer_of(
            tmp_path / "run", [rates], model=model(), max_steps=steps, save_strategy="steps",
            save_steps=2,
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return {n: p.detach().clone() for n, p in trainer.model.named_parameters()}

    whole = run(4)
    again = run(4, str(tmp_path / "run" / "checkpoint-2"))
    assert all(torch.equal(whole[n], again[n]) for n in whole)


@pytest.mark.parametrize("kind", ["mixtral", "deepseek_v3"])
def test_epsilon_covers_the_experts_and_not_the_router(kind):
    model = zoo_model(kind)
    what_is_trained(None, model)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    artifact = repair(Panacea(harmful=HARMFUL, rho=0.5), model, tiny_tokenizer())
    kinds = {
        kind_left_out(place_of(n)[1])
        for n, p in model.named_parameters()
        if not torch.equal(p, before[n])
    }
    assert "routed experts" in kinds
    assert "router" not in kinds
    eps = artifact.tensors["perturbation"]
    assert sum(float(e.square().sum()) for e in eps.values()) ** 0.5 == pytest.approx(0.5, rel=1e-4)


def test_tuned_experts_are_refused_where_only_projections_are_edited(tmp_path):
    zoo_model("mixtral", 1).save_pretrained(tmp_path / "base")
    zoo_model("mixtral").save_pretrained(tmp_path / "aligned")
    folders = {n: str(tmp_path / n) for n in ("aligned", "base")}
    with pytest.raises(ModelError, match=r"safe_lora.*experts\.gate_up_proj \(routed experts"):
        repair(SafeLoRA(**folders), zoo_model("mixtral"), tiny_tokenizer())
    with pytest.raises(ModelError, match=r"resta: .*experts.*one by one.*leave out aligned="):
        repair(
            RESTA(harmful=HARMFUL, aligned=folders["aligned"]), zoo_model("mixtral"),
            tiny_tokenizer(),
        )  # fmt: skip
    repair(RESTA(harmful=HARMFUL, epochs=1), zoo_model("mixtral"), tiny_tokenizer())
