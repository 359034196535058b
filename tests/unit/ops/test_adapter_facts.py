"""What an adapter is, read from the live layers and not from an option's name."""

import pytest
from peft import inject_adapter_in_model

from holdfast.errors import ModelError
from holdfast.ops.adapter_facts import (
    AdapterKind,
    active_adapters,
    active_parameters,
    adaptations,
    require_kinds,
)
from tests.tiny import tiny_model
from tests.unit.defenses.adapter_kinds import LORA_KINDS, adapted

K = AdapterKind


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        *((name, {K.LORA}) for name in LORA_KINDS),
        ("lora_bias", {K.LORA_BIAS}),
        ("dora", {K.DORA}),
        ("pissa", {K.MOVED_BASE}),
        ("olora", {K.MOVED_BASE}),
        ("base-biases", {K.LORA, K.BASE_BIASES}),
        ("mica", {K.VARIANT}),
        ("head", {K.LORA, K.WHOLE}),
        ("embedding", {K.LORA, K.OTHER_LORA}),
        ("parameters", {K.LORA, K.OTHER_LORA}),
        ("tokens", {K.LORA, K.TOKENS}),
        ("ia3", {K.OTHER}),
    ],
)
def test_each_kind_is_known_and_all_its_tensors_are_found(kind, wanted):
    model = adapted(kind)
    facts = adaptations(model)
    assert {fact.kind for fact in facts} == wanted
    assert all(fact.active and not fact.merged for fact in facts)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained <= active_parameters(model).keys()


def test_a_bare_model_has_none():
    assert adaptations(tiny_model()) == []
    assert active_adapters(tiny_model()) == []
    assert not require_kinds(tiny_model(), (), "x")


def test_an_adapter_that_transformers_put_in_is_found():
    model = tiny_model()
    model.add_adapter(adapted("plain").peft_config["default"], "mine")
    assert active_adapters(model) == ["mine"]


def test_an_adapter_that_peft_put_in_is_found_though_the_model_says_it_has_none():
    model = inject_adapter_in_model(adapted("base-biases").peft_config["default"], tiny_model())
    with pytest.raises(ValueError, match="No adapter loaded"):
        model.active_adapters()
    assert active_adapters(model) == ["default"]


def test_biases_of_the_base_do_not_make_an_adapter_active_that_is_switched_off():
    model = adapted("base-biases")
    model.base_model.disable_adapter_layers()
    with pytest.raises(ModelError, match="none is active"):
        active_adapters(model)


def test_of_two_adapters_the_active_one_is_told():
    model = adapted("plain")
    model.add_adapter("other", model.peft_config["default"])
    assert active_adapters(model) == ["default"]
    model.set_adapter("other")
    assert active_adapters(model) == ["other"]
    assert {n.split(".")[-2] for n in active_parameters(model)} == {"other"}
    model.base_model.set_adapter(["default", "other"])
    assert active_adapters(model) == ["default", "other"]
    with pytest.raises(ModelError, match="x edits one adapter, and default and other are"):
        require_kinds(model, {K.LORA}, "x")
    with model.disable_adapter(), pytest.raises(ModelError, match="none is active"):
        active_adapters(model)


def test_a_merged_adapter_is_refused():
    model = adapted("plain")
    model.merge_adapter()
    with pytest.raises(ModelError, match="merged into"):
        active_adapters(model)


def test_what_is_trained_beside_the_adapter_is_named():
    model = adapted("plain")
    assert require_kinds(model, {K.LORA}, "x")
    model.base_model.model.lm_head.weight.requires_grad_(True)
    with pytest.raises(ModelError, match=r"beside the adapter 'default', .*lm_head"):
        require_kinds(model, {K.LORA}, "x")


def test_the_kind_that_is_in_the_way_is_named():
    with pytest.raises(ModelError, match=r"x is not exact on this adapter: .* is DoRA"):
        require_kinds(adapted("dora"), {K.LORA}, "x")
