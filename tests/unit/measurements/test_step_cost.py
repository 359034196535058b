"""What defenses take of memory over plain fine-tuning, counted byte by byte on a small model."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from holdfast.defenses.panacea import panacea as module
from holdfast.defenses.security_vectors import set_aside
from measurements.cost_variants import Kind, Size
from measurements.step_cost import AIMS, memory, turn

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="counts the GPU where there is one"
)
FULL, LORA = Kind(lora=False, bf16=False), Kind(lora=True, bf16=False)


@pytest.fixture(scope="module")
def size(tmp_path_factory):
    """A model whose weights are much more than a few tokens' activations; three harmful batches."""
    config = AutoConfig.for_model(
        "llama", vocab_size=500, hidden_size=256, intermediate_size=768, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=16,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return Size(folder, tokens=4, rows=12)


@pytest.fixture(scope="module")
def full(size):
    """Memory where all weights are trained."""
    return memory(size, FULL)["extra_in_trained"]


@pytest.mark.parametrize("name", AIMS)
def test_a_repair_takes_no_more_copies_of_the_weights_than_it_needs(full, name):
    assert 0 < full[name] <= AIMS[name]


def test_a_merged_vector_takes_none_where_all_weights_are_trained(full):
    assert full["plain"] == 0
    assert full["security_vectors"] < 0.5


def test_a_merged_vector_holds_no_second_copy_of_a_frozen_base(size, monkeypatch):
    only = ("plain", "security_vectors")
    assert memory(size, LORA, only)["extra_in_base"]["security_vectors"] < 0.5
    monkeypatch.setattr(set_aside.SetAside, "_copied", lambda _, weight: weight.clone())
    assert memory(size, LORA, only)["extra_in_base"]["security_vectors"] > 0.8


def test_a_gradient_that_is_kept_too_long_is_seen(size, monkeypatch):
    kept, honest = [], module.profile

    def keeping(gradient, radius):
        kept.append(gradient)
        return honest(gradient, radius)

    monkeypatch.setattr(module, "profile", keeping)
    found = memory(size, FULL, ("plain", "panacea post-hoc"))["extra_in_trained"]
    assert found["panacea post-hoc"] > AIMS["panacea post-hoc"]


def test_every_variant_has_seconds_of_the_clock_and_of_the_processor(size):
    found = turn(size, LORA, 3)
    assert set(found) >= {"plain", "security_vectors", *AIMS}
    assert all(clock > 0 and used > 0 for clock, used, _ in found.values())
    assert found["plain"][2] == 0 < found["panacea post-hoc"][2]
