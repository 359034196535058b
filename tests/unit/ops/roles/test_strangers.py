"""Types of transformers that are built in an unusual way: a tool works on them or says why not."""

import tempfile
from pathlib import Path

import pytest

from holdfast.defenses.support import support
from holdfast.errors import ModelError
from tests import cells, zoo
from tests.tiny import HIDDEN, LAYERS, POSITIONS

_SMALL = {
    "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "max_position_embeddings": POSITIONS,
}  # fmt: skip
STRANGERS = {
    # Its layers return lists.
    "openai-gpt": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS},
    # It scales its embeddings in place.
    "ctrl": {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": 4, "n_positions": POSITIONS, "dff": 64},
    # What it calls its decoder is its head.
    "modernbert-decoder": _SMALL | {"cls_token_id": 1, "sep_token_id": 2},
    # One tensor of it is saved as several.
    "olmo_hybrid": _SMALL | {
        "num_key_value_heads": 2, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
    # Its layers are no decoder's by their names.
    "bert": _SMALL | {"is_decoder": True},
    # All of its linear layers are in the vision tower.
    "git": _SMALL | {"vision_config": {**zoo._VISION}},
    # One of its linear layers is a product per group.
    "deepseek_v4": _SMALL | {
        "head_dim": 8, "q_lora_rank": 12, "o_lora_rank": 8, "o_groups": 2, "qk_rope_head_dim": 4,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": HIDDEN,
        "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def strangers(monkeypatch):
    for kind, sizes in STRANGERS.items():
        monkeypatch.setitem(zoo.ZOO, kind, sizes)


def ran(kind, tool):
    with tempfile.TemporaryDirectory() as folder:
        bench = cells._Bench(kind, Path(folder))
        return cells._cell(cells._RUNS[tool], bench, "")


@pytest.mark.parametrize(
    ("kind", "tool", "said"),
    [
        ("openai-gpt", "roles", None),
        ("ctrl", "analyze", None),
        ("modernbert-decoder", "analyze", None),
        ("olmo_hybrid", "safe_lora", "'linear_attn.q_proj' has the role of"),
        ("git", "lora", "without vision or audio tower; tune all weights, or name modules"),
        ("deepseek_v4", "lora", None),
    ],
)
def test_a_tool_works_or_says_why_not(kind, tool, said):
    cell = ran(kind, tool)
    assert cell.works is (said is None)
    assert (said or "") in cell.said


@pytest.mark.parametrize("kind", [kind for kind in STRANGERS if kind != "olmo_hybrid"])
def test_what_is_said_beforehand_is_what_comes(kind):
    told = {row.method: row.works for row in support(zoo.zoo_model(kind))}
    assert told["roles"] is ran(kind, "roles").works
    if kind != "git":
        assert told["lora"] is ran(kind, "lora").works


def test_a_layer_that_breaks_when_it_is_run_is_a_refusal(monkeypatch):
    model = zoo.zoo_model("openai-gpt")
    calls = []
    own = type(model.transformer.h[0]).forward

    def breaks(layer, *given, **more):
        calls.append(1)
        if len(calls) > LAYERS:
            raise AttributeError("no such thing")
        return own(layer, *given, **more)

    monkeypatch.setattr(type(model.transformer.h[0]), "forward", breaks)
    monkeypatch.setattr("holdfast.ops.roles.shown._SHOWN", {})
    with pytest.raises(ModelError, match=r"does not show the roles.*no such thing"):
        cells.projections(model)
