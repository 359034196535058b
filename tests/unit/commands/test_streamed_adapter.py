"""An adapter repaired beside no weights is checked, and written, as one repaired on its model."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from holdfast.commands.repair import repair
from holdfast.errors import InputError, ModelError
from holdfast.files.base_mark import MARK, BaseMark
from holdfast.files.weights import open_weights
from holdfast.inputs.configs import RepairConfig
from tests.tiny import TEMPLATE, tiny_rows, tiny_tokenizer
from tests.zoo import zoo_model

OUT = Path("out")
METHOD = "random_perturbation:rho=0.1"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved("base", 0)
    saved("other", 1)
    adapter()


def saved(name, seed, kind="llama", template=TEMPLATE):
    model = zoo_model(kind, seed)
    model.save_pretrained(name, max_shard_size=20_000)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(name)
    return model


def adapter(marked=True, **options):
    base, config = zoo_model("llama", 0), LoraConfig(r=2, task_type="CAUSAL_LM", **options)
    mark = BaseMark.of(base, "base")
    get_peft_model(base, config).save_pretrained("adapter")
    if marked:
        mark.save(Path("adapter"))
    else:
        Path("adapter", MARK).unlink()


def repaired(model="base", output=OUT, *, streamed=True, **more):
    return repair(
        RepairConfig(model=model, adapter=Path("adapter"), method=METHOD, output=output,
                     streamed=streamed, **more)
    )  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
def test_another_base_than_the_marked_one_is_refused(streamed):
    with pytest.raises(ModelError, match=r"trained on another base .*give its base, base"):
        repaired("other", streamed=streamed)
    assert not OUT.exists()


@pytest.mark.parametrize("streamed", [False, True])
def test_another_base_than_the_named_one_is_told(streamed):
    config = Path("adapter/adapter_config.json")
    adapter(marked=False)
    named = json.loads(config.read_text()) | {"base_model_name_or_path": "base"}
    config.write_text(json.dumps(named))
    told = repaired("other", streamed=streamed).warnings
    assert "was trained on base, and `model` is other" in told[0]


@pytest.mark.parametrize("streamed", [False, True])
def test_another_template_than_its_own_is_refused(streamed):
    Path("adapter/chat_template.jinja").write_text("another " + TEMPLATE)
    with pytest.raises(ModelError, match="saved with another chat template"):
        repaired(streamed=streamed)


def test_the_same_files_are_written_as_in_memory():
    found = []
    for streamed in (False, True):
        Path("base/generation_config.json").write_text('{"eos_token_id": [2, 6], "top_k": 7}')
        told = repaired(output=Path(f"out-{streamed}"), streamed=streamed, overwrite=True)
        assert "sets top_k=7, which is ignored" in told.warnings[0]
        written = {f.name: f.read_bytes() for f in Path(f"out-{streamed}").iterdir()}
        found.append(written)
    memory, shards = found
    assert memory.keys() == shards.keys()
    own = {"run.log", "result.json", "report.html"}
    assert [name for name in memory if memory[name] != shards[name] and name not in own] == []


def test_a_template_that_writes_the_date_is_written_with_it_fixed():
    saved("base", 0, template=TEMPLATE + "{{ strftime_now('%Y') if false }}")
    assert "writes the date" in repaired().warnings[0]
    assert "macro strftime_now" in Path(OUT, "chat_template.jinja").read_text()


@pytest.mark.parametrize("role", ["safe", "benign", "lookalike", "kit", "harmful"])
def test_rows_that_nothing_would_read_are_refused(role):
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(2)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(InputError, match=f"`{role}=.*`streamed` loads no model"):
        repaired(**{role: "default" if role == "kit" else "data.jsonl"})


def test_what_needs_the_models_weights_is_refused_in_words():
    adapter(target_modules=["q_proj"], trainable_token_indices=[3, 4])
    with pytest.raises(ModelError, match=r"trained rows of an embedding .*: leave `streamed` out"):
        repaired()


@pytest.mark.parametrize("streamed", [False, True])
def test_an_adapter_of_no_numbers_is_not_repaired(streamed):
    file = Path("adapter/adapter_model.safetensors")
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = torch.inf
    save_file(tensors, file)
    with pytest.raises(ModelError, match="holds entries that are no numbers"):
        repaired(streamed=streamed)
    assert not OUT.exists()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "phi3", "gemma3", "bloom"])
def test_the_mark_is_the_same_from_files_and_from_memory(kind):
    model = saved("model", 0, kind)
    found = BaseMark.of_files(model, open_weights("model", "`model`", model), "model")
    assert found == BaseMark.of(model, "model")


def test_experts_that_are_stored_one_by_one_leave_the_embeddings_to_compare():
    model = saved("model", 0, "mixtral")
    found = BaseMark.of_files(model, open_weights("model", "`model`", model), "model")
    whole, other = BaseMark.of(model, "model"), BaseMark.of(zoo_model("mixtral", 1), "other")
    assert found.difference(whole) == ""
    assert found.difference(other) != ""
