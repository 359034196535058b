"""Models in four and eight bits, really loaded by bitsandbytes on the processor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from holdfast import apply_panacea
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.commands.evaluate import evaluate_model
from holdfast.commands.repair import repair
from holdfast.commands.tune import tune
from holdfast.errors import ConfigError, HoldfastError, ModelError
from holdfast.evaluation.generate import generate
from holdfast.inputs.configs import AnalyzeConfig, EvaluateConfig, RepairConfig, TuneConfig
from holdfast.inputs.loading.placement import Placement
from holdfast.inputs.models import load_adapter, load_model, model_of
from holdfast.ops.bits import quantized_as
from holdfast.ops.modules import canonical, parts
from tests.tiny import CONFIGS, tiny_model, tiny_rows, tiny_tokenizer
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of, lora, trainer_of

pytest.importorskip("bitsandbytes")
BITS = ["4bit", "8bit"]
SIZES = {"hidden_size": 64, "head_dim": 16, "intermediate_size": 128}
"""The processor's kernel of four bits wants whole blocks of 64 columns."""
HOW = {"lora": True, "lora_r": 2, "max_steps": 1, "batch_size": 2, "max_new_tokens": 2}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(CONFIGS, "llama", ("llama", {**CONFIGS["llama"][1], **SIZES}))
    for name, seed in (("base", 0), ("other", 1)):
        tiny_model(seed=seed).save_pretrained(name)
        tiny_tokenizer().save_pretrained(name)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(4)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def tuned(output="out", **given):
    config = {"model": "base", "data": "data.jsonl", "output": Path(output), **HOW, **given}
    return tune(TuneConfig(**config))


@pytest.mark.parametrize("bits", BITS)
def test_a_model_in_bits_answers_nearly_as_in_full(bits):
    model, _ = load_model("base", placement=Placement(quantization=bits))
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert quantized_as(model) == f"{bits[0]}-bit"
    assert weight.dtype == {"4bit": torch.uint8, "8bit": torch.int8}[bits]
    if bits == "4bit":
        assert (weight.quant_type, weight.quant_state.nested) == ("nf4", True)
    assert quantized_as(tiny_model()) is None
    ids = torch.tensor([[1, 8, 9]])
    apart = (model(ids).logits - tiny_model()(ids).logits).norm() / tiny_model()(ids).logits.norm()
    assert 0 < apart < {"4bit": 0.3, "8bit": 0.05}[bits]


@pytest.mark.parametrize("bits", BITS)
def test_an_adapter_is_tuned_beside_it_in_float32_and_served_in_full(bits):
    tuned(
        quantization=bits,
        defense=["panacea:rho=0.1"],
        harmful="data.jsonl",
        test_harmful="data.jsonl",
    )
    factors = load_file("out/adapter_model.safetensors")
    assert {value.dtype for value in factors.values()} == {torch.float32}
    assert any(value.any() for name, value in factors.items() if "lora_B" in name)
    load_adapter(tiny_model(), Path("out"))
    load_adapter(load_model("base", placement=Placement(quantization=bits))[0], Path("out"))
    with pytest.raises(HoldfastError, match="another base"):
        load_adapter(tiny_model(seed=1), Path("out"))
    other, _ = load_model("other", placement=Placement(quantization=bits))
    with pytest.raises(HoldfastError, match="another base"):
        load_adapter(other, Path("out"))
    given = {"model": "base", "quantization": bits, "adapter": Path("out")}
    repair(RepairConfig(**given, harmful="data.jsonl", method="panacea:rho=0.1",
                        output=Path("repaired")))  # fmt: skip
    changed = load_file("repaired/adapter_model.safetensors")
    assert any(not torch.equal(changed[name], value) for name, value in factors.items())
    result = evaluate_model(EvaluateConfig(**given, harmful="data.jsonl", max_new_tokens=2))
    assert result.config["quantization"] == bits


@pytest.mark.parametrize("bits", BITS)
def test_an_answer_takes_no_gradient_away(bits):
    """bitsandbytes packs 4-bit weights in a pass without gradients; what follows had none."""
    model, _ = load_model("base", placement=Placement(quantization=bits))
    ids = torch.tensor([[1, 8, 9]])

    def gradient():
        embedded = model.get_input_embeddings()(ids).detach().requires_grad_()
        return torch.autograd.grad(model(inputs_embeds=embedded).logits.square().mean(), embedded)

    (before,) = gradient()
    with torch.no_grad():
        model.eval()(ids)
    (after,) = gradient()
    assert before.any()
    assert torch.equal(before, after)


def own_model():
    """A model in four bits that a user loaded, with an adapter of theirs."""
    how = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    loaded = AutoModelForCausalLM.from_pretrained("base", quantization_config=how)
    return lora(loaded, target_modules=["q_proj", "v_proj", "down_proj"])


def test_a_users_own_4_bit_model_is_repaired_by_the_whole_gradient():
    """Of a model loaded from Python, answers took the gradient of nearly all layers away."""
    wanted, model = gradient_of(own_model().train()), own_model()
    generate(model, tiny_tokenizer(), [row["prompt"] for row in HARMFUL], max_new_tokens=2)
    found = apply_panacea(model, HARMFUL, tiny_tokenizer(), HARMFUL, rho=0.1, scales=(0.0, 1.0))
    again = apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.1)
    norm = sum(float(g.square().sum()) for g in wanted.values()) ** 0.5
    for name, eps in found.tensors["perturbation"].items():
        torch.testing.assert_close(eps, 0.1 * wanted[name] / norm, rtol=0.02, atol=2e-4)
        assert again.tensors["perturbation"][name].any()


def gradient_of(model) -> dict[str, Any]:
    """The gradient of the loss on the harmful pairs."""
    model(**batch_of(HARMFUL)).loss.backward()
    return {canonical(n): p.grad for n, p in model.named_parameters() if p.requires_grad}


def test_a_4_bit_model_that_answered_by_other_means_is_refused(tmp_path):
    """No gradient goes through its layers any more, and the run ended as if it had."""
    model = own_model().eval()
    with torch.no_grad():
        model(**batch_of(HARMFUL))
    states = [getattr(p, "quant_state", None) for p in model.parameters()]
    if not any(getattr(state, "packing_format_for_cpu", False) for state in states):
        pytest.skip("this processor has no bfloat16 instructions")
    for run in (
        lambda: apply_panacea(model, HARMFUL, tiny_tokenizer()),
        lambda: trainer_of(tmp_path, model=model),
    ):
        with pytest.raises(ModelError, match=r"packed this 4-bit weight.*load the model again"):
            run()


REFUSED = {
    TuneConfig: ({"data": "data.jsonl"}, "`lora=True`"),
    RepairConfig: ({"harmful": "data.jsonl"}, "`adapter=DIR`"),
    AnalyzeConfig: ({"harmful": "data.jsonl", "benign": "data.jsonl"}, "load them in full"),
}


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("already", [False, True])
def test_weights_in_bits_are_neither_trained_nor_edited(kind, already):
    given, way_out = REFUSED[kind]
    if already:
        load_model("base", placement=Placement(quantization="4bit"))[0].save_pretrained("small")
        tiny_tokenizer().save_pretrained("small")
    model, bits = ("small", None) if already else ("base", "4bit")
    with pytest.raises(ConfigError, match=way_out):
        model_of(kind(**given, model=model, quantization=bits, output=Path("out")))


def test_a_folder_that_is_quantized_already_is_loaded_as_it_is():
    model, _ = load_model("base", placement=Placement(quantization="4bit"))
    model.save_pretrained("small")
    tiny_tokenizer().save_pretrained("small")
    ids = torch.tensor([[1, 8, 9]])
    assert torch.equal(load_model("small")[0](ids).logits, model(ids).logits)
    with pytest.raises(ConfigError, match=r"quantization=8bit.*small.*already"):
        load_model("small", placement=Placement(quantization="8bit"))
    tune(TuneConfig(model="small", data="data.jsonl", output=Path("out"), **HOW))
    plain = AutoModelForCausalLM.from_pretrained("small")
    assert PeftModel.from_pretrained(plain, "out")(ids).logits.isfinite().all()


def test_without_the_package_it_is_one_line(monkeypatch):
    monkeypatch.setattr("holdfast.inputs.loading.placement.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"quantization=4bit.*bitsandbytes.*holdfast\[quant"):
        model_of(EvaluateConfig(model="base", quantization="4bit"))


@pytest.mark.parametrize("method", ["swat", "ml_lr"])
@pytest.mark.parametrize("bits", BITS)
def test_robust_modules_are_not_looked_for_in_bits_and_a_file_of_them_will_do(bits, method, capsys):
    """It ended in the middle, told to analyze in another type, when questions had been answered."""
    asked = {"harmful": "data.jsonl", "benign": "data.jsonl", "test_harmful": "data.jsonl"}
    with pytest.raises(HoldfastError, match=rf"^{method}: .*{bits[0]}-bit.*modules=FILE"):
        tuned(quantization=bits, defense=[method], **asked)
    assert "before" not in capsys.readouterr().err
    assert not Path("out").exists()
    roles = sorted({part.role for part in parts(tiny_model())})
    made = RobustModules(layers=2, roles=roles, modules=[ModuleAt(layer=0, role="q")])
    tuned(quantization=bits, defense=[f"{method}:modules={made.save('robust.json')}"])
