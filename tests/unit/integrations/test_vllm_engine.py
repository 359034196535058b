"""vLLM gets the prompts, end tokens and limits of our own generation, and answers as it does."""

import json
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from holdfast.commands.evaluate import EvaluateConfig, evaluate_model
from holdfast.errors import ConfigError, ModelError, RunError
from tests.tiny import tiny_model
from tests.unit.integrations.strange_folder import questions, strange_folder
from tests.unit.integrations.stub_vllm import installed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return strange_folder(tmp_path_factory.mktemp("strange"))


@pytest.fixture(scope="module")
def adapter(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(0)
    model = get_peft_model(
        tiny_model("llama", seed=3), LoraConfig(r=3, target_modules="all-linear")
    )
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.5)
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return str(questions(tmp_path_factory.mktemp("asked") / "questions.jsonl"))


def measured(**given):
    return evaluate_model(EvaluateConfig(max_new_tokens=12, **given))


@pytest.mark.parametrize("adapted", [False, True])
def test_the_figures_are_those_of_transformers(adapted, folder, adapter, file, monkeypatch):
    llm = installed(monkeypatch)
    how = {"model": str(folder), "harmful": file, "task": file}
    how |= {"adapter": adapter} if adapted else {}
    there, here = measured(engine="vllm", **how), measured(**how)
    theirs, ours = there.arms[0].runs[0], here.arms[0].runs[0]
    assert theirs.answers == ours.answers
    assert (theirs.shares, theirs.cut) == (ours.shares, ours.cut)
    assert theirs.decoding == {**ours.decoding, "engine": "vllm 0.11.0"}
    [made] = llm.made
    assert made.options["generation_config"] == "vllm"
    assert made.options["dtype"] == "float32"
    assert made.options.get("max_lora_rank") == (3 if adapted else None)
    assert [count for count, *_ in made.calls] == [10, 10]
    assert {s.temperature for _, s, _ in made.calls} == {0.0}
    assert set(here.warnings) <= set(there.warnings)


def test_an_adapter_that_matches_nothing_is_refused(folder, adapter, file, tmp_path, monkeypatch):
    llm = installed(monkeypatch)
    tensors = load_file(adapter / "adapter_model.safetensors")
    wrong = {name.replace("base_model.model.", ""): tensor for name, tensor in tensors.items()}
    save_file(wrong, tmp_path / "adapter_model.safetensors")
    text = (adapter / "adapter_config.json").read_text()
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError, match="of its tensors have no place in the model"):
        measured(engine="vllm", model=str(folder), task=file, adapter=tmp_path)
    assert llm.made == []


@pytest.mark.parametrize("fault", [ValueError("out of\nmemory"), []])
def test_what_vllm_does_wrong_is_one_line(fault, folder, file, monkeypatch):
    llm = installed(monkeypatch)

    def generate(*_, **__):
        if fault:
            raise fault
        return fault

    monkeypatch.setattr(llm, "generate", generate)
    said = "vllm failed: out of memory" if fault else "vllm gave 0 answers to 5 questions"
    with pytest.raises(RunError, match=said):
        measured(engine="vllm", model=str(folder), task=file)


def test_a_question_that_vllm_gave_up_is_no_empty_answer(folder, file, monkeypatch):
    """An empty answer harms nobody: a server that gave up all of them looked like a safe model."""
    llm = installed(monkeypatch)
    nothing = SimpleNamespace(outputs=[SimpleNamespace(token_ids=[], finish_reason="abort")])
    monkeypatch.setattr(llm, "generate", lambda _, rows, *__, **___: [nothing] * len(rows))
    with pytest.raises(RunError, match="no token on 5 of 5 questions and ended them with 'abort'"):
        measured(engine="vllm", model=str(folder), harmful=file)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "organism"}, "the organism runs here"),
        ({"lm_eval": "arc_easy", "lm_eval_path": "."}, "`lm_eval` does not go together"),
        ({"quantization": "4bit"}, "`quantization` does not go together"),
    ],
)
def test_what_does_not_go_together_is_refused(given, said, folder, file, monkeypatch):
    installed(monkeypatch)
    from holdfast.integrations.engines.opened import answering  # noqa: PLC0415

    with pytest.raises(ConfigError, match=said):
        answering(EvaluateConfig(**{"model": str(folder), "engine": "vllm", "task": file, **given}))


def test_without_vllm_one_line_says_what_to_install(folder, file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    with pytest.raises(ConfigError, match=r"`engine=vllm`: .* pip install vllm$"):
        measured(engine="vllm", model=str(folder), task=file)


def test_a_folder_that_is_none_is_told_before_vllm_is_asked(file, tmp_path, monkeypatch):
    llm = installed(monkeypatch)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ModelError):
        measured(engine="vllm", model=str(tmp_path), task=file)
    assert llm.made == []
