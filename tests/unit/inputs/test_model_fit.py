"""What is measured is the model that was given: no gap, no rest, no other base."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from holdfast.commands.evaluate import evaluate_model
from holdfast.commands.repair import repair
from holdfast.commands.tune import tune
from holdfast.errors import ConfigError, ModelError
from holdfast.files.adapters import read_adapter
from holdfast.files.base_mark import MARK, BaseMark
from holdfast.files.weights import open_weights
from holdfast.inputs.configs import AnalyzeConfig, EvaluateConfig, RepairConfig, TuneConfig
from holdfast.inputs.models import check_against, load_adapter, load_model
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

BASE, OTHER, ADAPTER, DATA = Path("base"), Path("other"), Path("adapter"), Path("data.jsonl")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(4)]
    DATA.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    saved(BASE)


def saved(where, seed=0):
    tiny_model(seed=seed).save_pretrained(where)
    tiny_tokenizer().save_pretrained(where)


def adapter(where=ADAPTER, **options):
    made = get_peft_model(tiny_model(), LoraConfig(r=2, task_type="CAUSAL_LM", **options))
    made.save_pretrained(where)
    return where


def renamed(change, where=ADAPTER):
    file = where / "adapter_model.safetensors"
    pairs = [(change(key), value) for key, value in load_file(file).items()]
    save_file({key: value for key, value in pairs if key}, file)


RENAMED = {
    "stripped": lambda key: key.removeprefix("base_model.model."),
    "another wrapper": lambda key: f"module.{key}",
    "compiled": lambda key: key.replace("base_model.model.", "base_model.model._orig_mod."),
    "with the adapter's name": lambda key: key.replace(".weight", ".default.weight"),
    "one layer only": lambda key: key if ".layers.0." in key else None,
    "half of each": lambda key: key if "lora_A" in key else None,
    "a layer too many": lambda key: key.replace(".layers.1.", ".layers.7."),
}


@pytest.mark.parametrize("change", RENAMED.values(), ids=RENAMED)
def test_an_adapter_whose_tensors_have_no_place_is_refused(change):
    """Fault D1: such an adapter answered as its base did, at exit 0."""
    load_adapter(tiny_model(), adapter())
    renamed(change)
    with pytest.raises(ModelError, match=r"`adapter=adapter`: does not fit the model: \d+ .*such"):
        load_adapter(tiny_model(), ADAPTER)


@pytest.mark.parametrize(
    ("command", "config"), [(evaluate_model, EvaluateConfig), (repair, RepairConfig)]
)
def test_every_command_refuses_it(command, config):
    """Fault D1: evaluate and repair took the base for the adapter."""
    adapter()
    renamed(RENAMED["stripped"])
    given = config(model="base", adapter=ADAPTER, output=Path("out"), harmful=str(DATA))
    with pytest.raises(ModelError, match="does not fit the model"):
        command(given)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["lm_head"]}, {"use_dora": True}, {"layers_to_transform": [0]},
        {"lora_bias": True}, {"use_rslora": True}, {"target_modules": ["embed_tokens", "q_proj"]},
        {"trainable_token_indices": [7, 8]}, {"bias": "all"},
    ],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_an_adapter_that_is_whole_is_taken(options):
    """Fault D1: what PEFT saves whole, of any shape, must still be read."""
    load_adapter(tiny_model(), adapter(**options))


def test_embeddings_saved_beside_an_adapter_are_no_rest():
    """Fault D1: PEFT writes whole embedding layers where the vocabulary was enlarged."""
    made = get_peft_model(tiny_model(), LoraConfig(r=2, task_type="CAUSAL_LM"))
    made.save_pretrained(ADAPTER, save_embedding_layers=True)
    assert any("embed_tokens" in key for key in load_file(ADAPTER / "adapter_model.safetensors"))
    load_adapter(tiny_model(), ADAPTER)


def test_half_a_vector_is_refused():
    """Fault D1: a defense's adapter with A and no B was read."""
    adapter()
    assert read_adapter(ADAPTER)
    renamed(RENAMED["half of each"])
    with pytest.raises(ConfigError, match=r"half an adapter.*has no lora_B"):
        read_adapter(ADAPTER)


@pytest.mark.parametrize("change", [lambda key: None if "norm" in key else key, None])
def test_weights_with_a_gap_or_a_rest_are_refused(change):
    """Fault D1: a checkpoint with tensors that its config has no place for was read in part."""
    file = BASE / "model.safetensors"
    tensors = load_file(file)
    if change is None:
        tensors |= {k.replace(".1.", ".2."): v.clone() for k, v in tensors.items() if ".1." in k}
    kept = {key: value for key, value in tensors.items() if change is None or change(key)}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"weights (lack|hold) \d+ tensors"):
        load_model("base")


def test_tied_weights_are_no_gap():
    """Fault D1: a tied head is in no file and is no gap."""
    model = tiny_model()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained("tied")
    tiny_tokenizer().save_pretrained("tied")
    load_model("tied")


def test_an_adapter_of_ours_knows_its_base():
    """Fault D2: an adapter of another base of the same sizes was loaded without a word."""
    how = {"data": str(DATA), "lora": True, "max_steps": 1, "batch_size": 1}
    tune(TuneConfig(model="base", output=ADAPTER, **how))
    assert (ADAPTER / MARK).is_file()
    load_adapter(load_model("base")[0], ADAPTER)
    saved(OTHER, seed=1)
    with pytest.raises(ModelError, match=r"another base.*the same sizes and other values.*base"):
        load_adapter(load_model("other")[0], ADAPTER)
    for dtype in ("bfloat16", "float16"):
        load_adapter(load_model("base", dtype=dtype)[0], ADAPTER)
        with pytest.raises(ModelError, match="another base"):
            load_adapter(load_model("other", dtype=dtype)[0], ADAPTER)


def test_one_changed_matrix_is_another_base():
    """Fault D2: a base that was tuned a little was taken for the base."""
    model = tiny_model()
    mark = BaseMark.of(model, "m")
    assert mark.difference(BaseMark.of(tiny_model(), "elsewhere")) == ""
    model.model.layers[1].mlp.down_proj.weight.data += 1e-4
    assert mark.difference(BaseMark.of(model, "m")) == "the same sizes and other values"
    assert "sizes" in mark.difference(BaseMark.of(tiny_model("opt"), "m"))


@pytest.mark.parametrize(
    ("named", "warned"),
    [("someone/else", True), ("elsewhere/base", False), ("base", False), (None, False)],
)
def test_a_foreign_adapter_that_names_another_base_is_told(named, warned):
    """Fault D2: nothing was said of a foreign adapter's base_model_name_or_path."""
    file = adapter() / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": named}))
    config = EvaluateConfig(model="base", adapter=ADAPTER, harmful=str(DATA), max_new_tokens=1)
    told = [line for line in evaluate_model(config).warnings if "was trained on" in line]
    assert bool(told) == warned
    assert not told or "`adapter=adapter`: was trained on someone/else" in told[0]


def test_a_folder_with_a_model_and_an_adapter_is_refused():
    """Fault D3: the adapter's base was loaded in place of the model, and its training was lost."""
    adapter(BASE)
    with pytest.raises(ModelError, match=r"`model=base`: holds a whole model and an adapter"):
        load_model("base")
    with pytest.raises(ModelError, match=r"`adapter=base`: holds a whole model and an adapter"):
        load_adapter(tiny_model(), BASE)
    with pytest.raises(ModelError, match=r"`against=base`: holds a whole model"):
        check_against(AnalyzeConfig(model="m", harmful="h", benign="b", output=BASE, against=BASE))
    with pytest.raises(ModelError, match="holds a whole model"):
        open_weights("base", "safe_lora: base")


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
def test_an_adapter_with_another_template_is_refused(place):
    """Fault D2: an adapter was measured on prompts of another template than it was tuned on."""
    adapter()
    text = tiny_tokenizer().chat_template
    config = EvaluateConfig(model="base", adapter=ADAPTER, harmful=str(DATA), max_new_tokens=1)

    def write(template):
        given = template if place.endswith("jinja") else json.dumps({"chat_template": template})
        (ADAPTER / place).write_text(given)

    write(text)
    evaluate_model(config)
    write(text.replace("<assistant>", "<user>"))
    with pytest.raises(ModelError, match="another chat template than the model's"):
        evaluate_model(config)
    Path("own.jinja").write_text(text)
    evaluate_model(replace(config, chat_template=Path("own.jinja")))


def test_an_adapter_that_does_nothing_is_refused():
    """Fault D1: with lora_alpha 0 the base answered, too."""
    file = adapter() / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "lora_alpha": 0}))
    with pytest.raises(ModelError, match="lora_alpha=0"):
        load_adapter(tiny_model(), ADAPTER)


@pytest.mark.parametrize("index", [{"metadata": None}, {}, {"metadata": {}}], ids=repr)
def test_an_index_without_metadata_is_told_where_transformers_cannot_load_it(index):
    """It was told in transformers' own words: 'NoneType' object has no item assignment."""
    tiny_model().save_pretrained(OTHER, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(OTHER)
    path = OTHER / "model.safetensors.index.json"
    path.write_text(json.dumps({**index, "weight_map": json.loads(path.read_text())["weight_map"]}))
    if "metadata" in index and index["metadata"] is not None:
        load_model(str(OTHER))
    else:
        with pytest.raises(ModelError, match=r"no object under metadata.* there"):
            load_model(str(OTHER))
    assert open_weights(str(OTHER), "aligned").files
