"""The table of names and the layouts of fused rows, against what data flow says of each class."""

import pytest
import torch
from torch import nn

from holdfast.errors import ModelError
from holdfast.ops.modules import decoder_layers, left_out, linears, parts, projections
from holdfast.ops.roles.flow import Layer, entering, rows_by_flow
from holdfast.ops.roles.layouts import rows_of
from holdfast.ops.roles.names import place_of
from holdfast.ops.roles.table import ARCHITECTURES, FUSED, ROLES
from tests.zoo import DENSE, FULL, MOE, ZOO, zoo_model

OWN_WAY = {"qwen3_5_text", "deepseek_v2", "deepseek_v3", "gpt_oss"}
"""Linear or latent attention and sinks: not the attention whose flow is known."""
FLOWING = [kind for kind in [*DENSE, *MOE] if kind not in OWN_WAY]


def flow_of(model, number):
    """Each row's role by data flow, by path in one layer."""
    layers = decoder_layers(model)
    own = {place_of(n)[1]: m for n, m in linears(model).items() if place_of(n)[0] == number}
    entered = entering(model, layers, lambda ids: model(input_ids=ids, use_cache=False))
    return rows_by_flow(Layer(layers[number], *entered[number], own))


def by_name(model, number):
    """Each row's role by the table and the layouts, by path in one layer."""
    out = {}
    for ref, part in parts(model).items():
        if ref.layer == number:
            path = place_of(ref.name.partition("[")[0])[1]
            total = part.module.nf if hasattr(part.module, "nf") else part.module.out_features
            rows = torch.arange(total) if part.rows is None else part.rows
            for row in rows.tolist():
                out.setdefault(path, {})[row] = ref.role
    return {path: [rows[n] for n in sorted(rows)] for path, rows in out.items()}


def test_every_type_of_the_table_is_in_the_zoo_and_the_wanted_ones_are_known():
    assert set(DENSE) | set(MOE) == set(ARCHITECTURES)
    assert set(FULL) <= set(ARCHITECTURES)
    assert len(ZOO) >= 34


@pytest.mark.parametrize("kind", FLOWING)
def test_names_and_rows_are_what_data_flow_says(kind):
    model = zoo_model(kind)
    shown, told = flow_of(model, 1), by_name(model, 1)
    assert shown.keys() == told.keys()
    for path, rows in shown.items():
        wanted = rows * len(told[path]) if len(rows) == 1 else rows  # Writers are one role.
        assert told[path] == wanted, path


@pytest.mark.parametrize("options", [
    {"new_decoder_architecture": False, "multi_query": True, "num_kv_heads": None},
    {"new_decoder_architecture": False, "multi_query": False, "num_kv_heads": None},
])  # fmt: skip
def test_the_three_ways_of_falcon(options):
    model = zoo_model("falcon", **options)
    assert (
        flow_of(model, 0)["self_attention.query_key_value"]
        == by_name(model, 0)["self_attention.query_key_value"]
    )


def test_bigcode_with_many_keys():
    model = zoo_model("gpt_bigcode", multi_query=False)
    assert flow_of(model, 0)["attn.c_attn"] == by_name(model, 0)["attn.c_attn"]


def test_a_wrong_layout_is_seen():
    model = zoo_model("gpt_neox")
    shown = flow_of(model, 0)["attention.query_key_value"]
    stacked = rows_of((1, (("q", 32), ("k", 32), ("v", 32))), 96, "x")
    assert [shown[row] for row in stacked["k"].tolist()] != ["k"] * 32


def test_a_wrong_name_is_seen(monkeypatch):
    monkeypatch.setitem(ROLES, "self_attn.q_proj", "k")
    monkeypatch.setitem(ROLES, "self_attn.k_proj", "q")
    model = zoo_model("llama")
    assert flow_of(model, 0)["self_attn.q_proj"] != by_name(model, 0)["self_attn.q_proj"]


def test_parts_that_do_not_add_up_are_refused():
    with pytest.raises(ModelError, match=r"'x'.*4 groups of 24 rows.*has 97 rows"):
        rows_of((4, (("q", 8), ("k", 8), ("v", 8))), 97, "x")


@pytest.mark.parametrize("kind", [*DENSE, *MOE])
def test_every_parameter_of_the_decoder_is_covered_or_named_as_left_out(kind):
    model = zoo_model(kind)
    covered = {
        f"{ref.name}.{name}"
        for ref, module in projections(model).items()
        for name, _ in module.named_parameters()
    }
    left = left_out(model)
    every = {n for n, _ in model.named_parameters() if place_of(n)[0] >= 0}
    assert covered | left.keys() == every
    assert not covered & left.keys()
    inside = {ref.name.partition("[")[0] for ref in parts(model)}
    assert inside == {ref.name for ref in projections(model)}


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES - set(OWN_WAY)))
def test_the_rows_of_the_parts_are_the_whole_weight_once(kind):
    model = zoo_model(kind)
    sizes, fused = {}, {r.name: m for r, m in projections(model).items() if r.role in FUSED}
    for ref, part in parts(model).items():
        name = ref.name.partition("[")[0]
        if name in fused:
            sizes[name] = sizes.get(name, 0) + part.spread(torch.ones_like(part.weight))
    assert sizes.keys() == fused.keys()
    assert all(torch.equal(sizes[n], torch.ones_like(m.weight)) for n, m in fused.items())


def test_a_matrix_that_nobody_knows_is_refused_by_name():
    model = zoo_model("llama")
    model.model.layers[1].mlp.mixer = nn.Parameter(torch.ones(3, 4))
    with pytest.raises(ModelError, match=r"'model\.layers\.1\.mlp\.mixer'.*\(3, 4\)"):
        left_out(model)


def test_two_modules_of_one_role_are_refused():
    model = zoo_model("llama")
    model.model.layers[0].self_attn.dense = nn.Linear(4, 4)
    with pytest.raises(ModelError, match=r"o_proj.*dense.*are both 'o' of layer 0"):
        projections(model)


@pytest.mark.parametrize("kind", MOE)
def test_of_a_mixture_no_router_or_expert_has_a_role(kind):
    model = zoo_model(kind)
    kinds = set(left_out(model).values())
    assert {"router", "routed experts"} <= kinds
    assert not any("expert_gate" in ref.name or "router" in ref.name for ref in projections(model))
