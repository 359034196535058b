"""A model that nobody gave a place lies on the GPU, where there is one.

It lay on the processor, many times slower, and the result named the GPU. A stand-in is what torch
calls ``meta``: a device that every machine has.
"""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from holdfast.errors import ConfigError
from holdfast.inputs.configs import AnalyzeConfig, EvaluateConfig, RepairConfig, TuneConfig
from holdfast.inputs.loading import device
from holdfast.inputs.models import model_of, tuned_of
from holdfast.results import provenance
from tests.tiny import tiny_model, tiny_tokenizer

SETS = {"harmful": "h.jsonl", "benign": "b.jsonl"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("base")
    targets = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(tiny_model(), targets).save_pretrained("adapter")
    tiny_tokenizer().save_pretrained("base")
    monkeypatch.setattr(device, "_gpu", lambda: torch.device("meta"))


def places(model) -> set[str]:
    return {p.device.type for p in model.parameters()}


@pytest.mark.parametrize(
    "config",
    [
        EvaluateConfig(model="base"),
        EvaluateConfig(model="base", adapter=Path("adapter")),
        RepairConfig(model="base", output=Path("out"), adapter=Path("adapter")),
        AnalyzeConfig(model="base", output=Path("out"), **SETS),
    ],
)
def test_what_answers_is_analyzed_or_repaired_lies_on_the_gpu(config):
    assert places(model_of(config).model) == {"meta"}


@pytest.mark.parametrize("against", ["base", "adapter"])
def test_what_is_compared_lies_beside_it(against):
    config = AnalyzeConfig(model="base", output=Path("out"), **SETS, against=Path(against))
    base = model_of(config).model
    assert places(tuned_of(config, base)) == places(base) == {"meta"}


@pytest.mark.parametrize(
    "config",
    [
        EvaluateConfig(model="base", device_map="cpu"),
        EvaluateConfig(model="organism"),
        TuneConfig(model="base", data="data.jsonl", output=Path("out")),
    ],
)
def test_a_place_that_was_said_the_test_model_and_a_trainer_keep_theirs(config):
    assert places(model_of(config).model) == {"cpu"}


@pytest.mark.parametrize("how", ["4bit", "8bit"])
def test_bits_lie_where_they_were_packed(how):
    pytest.importorskip("bitsandbytes")
    where = places(model_of(EvaluateConfig(model="base", quantization=how)).model)
    assert "meta" not in where


def test_too_little_room_is_one_line_with_a_way_out(monkeypatch):
    def full(self, *where):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ConfigError, match=r"`model=base`.*no room on meta.*`device_map=auto`"):
        model_of(EvaluateConfig(model="base"))


@pytest.mark.parametrize(("opened", "held"), [(True, 3 * 2**30), (True, 0), (False, 0)])
def test_a_gpu_that_lay_idle_is_not_named_as_what_computed(monkeypatch, opened, held):
    """Also of a run with use_cpu=true, which opens the GPU and puts nothing there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: opened)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "a GPU")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: held)
    assert provenance.this_machine().accelerator == ("a GPU" if held else "")
    assert (provenance.peak_memory_gib() == 3.0) == bool(held)
