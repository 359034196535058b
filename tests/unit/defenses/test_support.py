"""What a model can do, asked of the live model: works, or refused with a reason."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from holdfast.defenses import registry
from holdfast.defenses.support import support
from tests.zoo import DENSE, FULL, MOE, STRANGE, zoo_model


def by_name(model):
    return {row.method: row for row in support(model)}


@pytest.mark.parametrize("kind", DENSE)
def test_the_whole_tool_set_on_every_dense_type(kind):
    found = by_name(zoo_model(kind))
    assert set(found) >= {"roles", "lora", "analyze", "evaluate", *registry()}
    assert all(row.works for row in found.values()), found
    assert set(FULL) <= set(DENSE)


@pytest.mark.parametrize("kind", MOE)
def test_a_mixture_works_and_says_what_it_leaves_alone(kind):
    found = by_name(zoo_model(kind))
    assert all(row.works for row in found.values()), found
    for method in ("roles", "analyze", "security_vectors", "safe_lora", "ml_lr"):
        assert "routed experts" in found[method].reason
        assert "router" in found[method].reason
    assert found["panacea"].reason == ""


@pytest.mark.parametrize("kind", STRANGE)
def test_what_has_no_attention_keeps_the_methods_that_need_no_roles(kind):
    found = by_name(zoo_model(kind))
    works = {name for name, row in found.items() if row.works}
    assert {"lora", "panacea", "resta", "evaluate", "lisa"} <= works
    refused = {"roles", "analyze", "security_vectors", "safe_lora", "ml_lr", "swat", "vaccine"}
    assert not refused & works
    for method in refused:
        assert repr(kind) in found[method].reason
        assert "layer 0" in found[method].reason


@pytest.mark.parametrize("kind", ["llama", "mixtral", "gpt2"])
def test_no_weights_are_needed_for_a_known_type(kind):
    config = AutoConfig.for_model(kind)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert all(row.works for row in support(model))


def test_something_else_is_refused_line_by_line():
    found = by_name(nn.Linear(2, 2))
    assert not any(found[name].works for name in ("roles", "analyze", "evaluate"))
