"""Where all-linear goes on models that have more than projections: no router, expert or tower."""

import pytest
import torch
from peft import PeftModel, get_peft_model

from holdfast.ops.modules import plain_name, projections
from holdfast.ops.roles.names import in_tower, kind_left_out, place_of
from holdfast.training.lora_targets import on_projections, what_is_trained
from holdfast.training.sft_options import lora
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of
from tests.zoo import MOE, zoo_model

LATENT = ("deepseek_v2", "deepseek_v3")
ASK = batch_of(HARMFUL[:2])["input_ids"]


def adapted_modules(model, config):
    peft = get_peft_model(model, config)
    names = [plain_name(n) for n, _ in peft.named_parameters() if ".lora_A." in n]
    return peft, {name.partition(".lora_A.")[0] for name in names}


@pytest.mark.parametrize("kind", [*MOE, "gemma3"])
def test_every_projection_is_adapted_and_nothing_else(kind, tmp_path):
    config, notes = on_projections(lora(2, 4), zoo_model(kind))
    peft, found = adapted_modules(zoo_model(kind), config)
    wanted = {ref.name for ref in projections(zoo_model(kind))}
    if kind in LATENT:  # PEFT cannot name these two apart from the experts; it is said.
        wanted = {name for name in wanted if ".mlp." not in name}
        assert "down_proj, gate_proj, up_proj" in notes[1]
    assert found == wanted
    assert "router" in notes[0] or "tower" in notes[0]
    for n, p in peft.named_parameters():
        if "lora_B" in n:
            p.data.normal_(generator=torch.Generator().manual_seed(0))
    peft.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(zoo_model(kind), tmp_path)
    assert torch.equal(again(input_ids=ASK).logits, peft(input_ids=ASK).logits)


def test_peft_itself_would_adapt_the_router():
    """Why this is here; when PEFT does otherwise, less of it is needed."""
    _, found = adapted_modules(zoo_model("mixtral"), lora(2, 4))
    assert any(kind_left_out(place_of(name)[1]) == "router" for name in found)
    _, found = adapted_modules(zoo_model("qwen2_moe"), lora(2, 4))
    assert any(name.endswith("shared_expert_gate") for name in found)
    _, found = adapted_modules(zoo_model("gemma3"), lora(2, 4))
    assert any(map(in_tower, found))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi3", "opt"])
def test_a_dense_model_keeps_the_configuration_that_was_given(kind):
    config = lora(2, 4)
    assert on_projections(config, zoo_model(kind)) == (config, [])


def test_who_names_the_router_gets_it():
    config = lora(2, 4, targets="q_proj,shared_expert_gate")
    assert on_projections(config, zoo_model("qwen2_moe")) == (config, [])
    _, found = adapted_modules(zoo_model("qwen2_moe"), config)
    assert any(name.endswith("shared_expert_gate") for name in found)


@pytest.mark.parametrize("kind", MOE)
def test_without_an_adapter_routers_are_frozen_and_it_is_said(kind):
    model = zoo_model(kind)
    adapter, notes = what_is_trained(None, model)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    routers = {n for n, _ in model.named_parameters() if kind_left_out(place_of(n)[1]) == "router"}
    assert adapter is None
    assert frozen == routers != set()
    assert "routers" in notes[0]
    assert what_is_trained(None, zoo_model("llama")) == (None, [])
