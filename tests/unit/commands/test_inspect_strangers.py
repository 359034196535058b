"""A type that is in no table shows its roles to ``holdfast inspect`` without its weights."""

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from holdfast.commands.inspect import inspect_model
from holdfast.commands.inspection import stand_in
from holdfast.commands.inspection.page import lines_of
from holdfast.defenses.support import support
from holdfast.inputs.configs import InspectConfig
from holdfast.ops.roles import names, shown
from holdfast.ops.roles.table import ARCHITECTURES
from tests.tiny import HIDDEN, POSITIONS, tiny_tokenizer

SIZES = {
    "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 62,
    "max_position_embeddings": POSITIONS, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MIXTURE = {
    "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 16, "n_shared_experts": 1, "first_k_dense_replace": 1,
}  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """What other tests have shown is forgotten."""
    for held, module in (("_PROVEN", names), ("_SHOWN", shown), ("_ROWS", shown)):
        monkeypatch.setattr(module, held, {})


def inspected(folder, kind, **more):
    config = AutoConfig.for_model(kind, **SIZES, **more)
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return config, inspect_model(InspectConfig(model=str(folder)))


@pytest.mark.parametrize(
    ("kind", "more"),
    [("internlm3", {}), ("apertus", {}), ("glm4_moe", MIXTURE), ("lfm2", {}), ("flint", {})],
)
def test_it_says_what_the_loaded_model_says(tmp_path, kind, more):
    assert kind not in ARCHITECTURES
    config, found = inspected(tmp_path, kind, **more)
    told = {row.name: row.works for row in found.methods}
    shown._SHOWN.clear()
    live = {row.method: row.works for row in support(AutoModelForCausalLM.from_config(config))}
    assert told == live
    assert told["roles"] is (kind != "flint")
    assert any(group.layers.endswith("5") for group in found.layers.groups) is told["roles"]


def test_what_is_too_large_to_try_is_not_known_here(tmp_path, monkeypatch):
    monkeypatch.setattr(stand_in, "MOST", 10)
    _, found = inspected(tmp_path, "internlm3")
    told = {row.name: row for row in found.methods}
    assert not told["roles"].works
    assert "load its weights" in told["roles"].why
    page = " ".join("\n".join(lines_of(found)).split())  # Wherever its lines end.
    assert page.count("load its weights") == 2, "a reason is printed once for all methods"
    assert "refused: as roles" in page
