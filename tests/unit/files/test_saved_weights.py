"""Weights of another model's folder are those that transformers itself would read there."""

import pytest
import torch
from safetensors.torch import save_file

from holdfast.defenses.safe_lora.apply import apply_safe_lora
from holdfast.errors import ConfigError, ModelError
from holdfast.files.weights import open_weights
from tests.tiny import tiny_model

NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize("size", ["20KB", "1GB"])
def test_old_files_beside_the_model_are_not_read(tmp_path, size):
    model = tiny_model(seed=1)
    model.save_pretrained(tmp_path, max_shard_size=size)
    old = {n: p.detach() + 1 for n, p in model.named_parameters()}
    for name in ("a-first.safetensors", "z-last.safetensors"):
        save_file(old, tmp_path / name)
    weight = model.get_parameter(NAME)
    assert torch.equal(open_weights(str(tmp_path), "base").read(NAME, weight), weight)


def test_files_of_any_name_are_read_where_nothing_says_which(tmp_path):
    model = tiny_model(seed=1)
    save_file({n: p.detach() for n, p in model.named_parameters()}, tmp_path / "own.safetensors")
    weight = model.get_parameter(NAME)
    assert torch.equal(open_weights(str(tmp_path), "base").read(NAME, weight), weight)


def test_a_shard_that_is_missing_is_told(tmp_path):
    tiny_model().save_pretrained(tmp_path, max_shard_size="20KB")
    sorted(tmp_path.glob("model-*"))[1].unlink()
    with pytest.raises(ModelError, match="which is not in the folder"):
        open_weights(str(tmp_path), "base")


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, broken):
    """A repair that compares with them would write them into the model."""
    model = tiny_model()
    weight = model.get_parameter(NAME)
    weight.data[0, 0] = broken
    model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"{NAME} holds entries that are no numbers"):
        open_weights(str(tmp_path), "base").read(NAME, weight)


def test_a_model_in_the_place_of_its_folder_is_one_line():
    """`apply_safe_lora(model, base_model)` was an OSError with the whole model's text."""
    model = tiny_model(seed=1)
    with pytest.raises(ConfigError, match=r"safe_lora: base=.*is too long for a path") as caught:
        apply_safe_lora(model, model)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="NUL"):
        open_weights("a\0b", "base")
