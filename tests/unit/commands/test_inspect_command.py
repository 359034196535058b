"""What ``holdfast inspect`` says, compared with what transformers and PEFT themselves count."""

import json
import re
import resource

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from holdfast.cli.main import main
from holdfast.commands.inspect import inspect_model
from holdfast.commands.inspection.page import lines_of
from holdfast.errors import ConfigError, ModelError
from holdfast.inputs.configs import InspectConfig
from holdfast.inputs.models import load_model
from holdfast.training.lora_targets import on_projections
from holdfast.training.sft_options import lora
from tests.tiny import TEMPLATE, tiny_model, tiny_tokenizer
from tests.zoo import zoo_model


def saved(folder, kind="llama", template=TEMPLATE, **config):
    model = zoo_model(kind, **config)
    model.save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return model


def seen(folder, **given):
    return inspect_model(InspectConfig(model=str(folder), **given))


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "gemma3", "qwen3_moe", "phi3"])
def test_counts_are_those_of_the_model(tmp_path, kind):
    model = saved(tmp_path, kind)
    found = seen(tmp_path).numbers
    ids = {id(p): p.numel() for p in model.parameters()}
    assert found.total == sum(ids.values())
    assert found.total == sum(n or 0 for n in (found.decoder, found.embeddings, found.other))
    adapted = get_peft_model(model, on_projections(lora(8, 16), model)[0])
    assert found.lora == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_a_tied_embedding_counts_once(tmp_path):
    model = saved(tmp_path, tie_word_embeddings=True)
    found = seen(tmp_path).numbers
    assert found.tied
    assert found.embeddings == model.get_input_embeddings().weight.numel()


def test_layers_that_are_alike_are_told_once(tmp_path):
    saved(tmp_path, num_hidden_layers=4)
    (group,) = seen(tmp_path).layers.groups
    assert group.layers == "0–3"
    assert list(group.roles) == ["q", "k", "v", "o", "gate", "up", "down"]
    assert (group.roles["k"], group.roles["down"]) == ("32 → 16", "64 → 32")


SYSTEM = {
    "a turn of its own": TEMPLATE,
    "left out": TEMPLATE.replace("messages %}", "messages if m['role'] != 'system' %}"),
    "refused by the template": (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    ),
    "put into the first question": (
        "<s>{% if messages[0]['role'] == 'system' %}{% set note = messages[0]['content'] + '\n' %}"
        "{% set messages = messages[1:] %}{% else %}{% set note = '' %}{% endif %}"
        "{% for m in messages %} <{{ m['role'] }}> {{ note if loop.first }}{{ m['content'] }} <end>"
        "{% endfor %}{% if add_generation_prompt %} <assistant>{% endif %}"
    ),
}


@pytest.mark.parametrize("told", SYSTEM)
def test_what_becomes_of_a_system_message(tmp_path, told):
    saved(tmp_path, template=SYSTEM[told])
    assert seen(tmp_path).chat.system == told


def test_the_template_is_shown_as_the_model_reads_it(tmp_path):
    saved(tmp_path)
    chat = seen(tmp_path).chat
    assert chat.example == (
        "<s> <user> What is 2 plus 2? <end> <assistant> It is 4. <end>"
        " <user> And 3 plus 3? <end> <assistant>"
    )
    assert (chat.generation_prompt, chat.stops) == (" <assistant>", ("<end> (2)",))
    assert (chat.thinking, chat.date, chat.fault) == ("none", "not written", "")


def test_thinking_and_dates_are_told(tmp_path):
    thinks = TEMPLATE.replace("<assistant>{% endif", "<assistant><think>\n{% endif")
    saved(tmp_path, template="{{ strftime_now('%Y-%m-%d') }}" + thinks)
    chat = seen(tmp_path).chat
    assert (chat.thinking, chat.date[:7]) == ("opened by the prompt", "written")
    assert chat.example.startswith("2024-07-26")
    saved(tmp_path, template=thinks.replace("<think>", "<think></think>"))
    assert seen(tmp_path).chat.thinking == "opened and closed in front of each answer"


@pytest.mark.parametrize("template", [None, TEMPLATE.partition("{% if add")[0]])
def test_a_template_that_cannot_be_used_is_told_and_no_error(tmp_path, template):
    saved(tmp_path, template=template)
    if template is None:
        (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    assert seen(tmp_path).chat.fault.startswith(
        "there is none" if template is None else "its chat template has no generation prompt"
    )


def test_license_dtype_and_context(tmp_path):
    saved(tmp_path)
    assert seen(tmp_path).license is None
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\ntags: [a]\n---\n# Hello\n")
    found = seen(tmp_path)
    assert (found.license, found.dtype, found.context) == ("apache-2.0", "float32", 128)
    (tmp_path / "README.md").write_text("---\nlicense: [\n---\n")
    assert seen(tmp_path).license is None


def test_an_adapter_is_told_by_what_it_is(tmp_path):
    base, folder = tmp_path / "base", tmp_path / "adapter"
    model = saved(base)
    options = LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "up_proj"])
    made = get_peft_model(model, options)
    made.save_pretrained(folder)
    found = seen(base, adapter=folder).adapter
    assert (dict(found.kinds), dict(found.targets)) == ({"DoRA": 4}, {"q_proj": 2, "up_proj": 2})
    assert found.parameters == sum(p.numel() for p in made.parameters() if p.requires_grad)
    assert (found.rank, found.alpha, found.marked) == ("4", 8.0, False)
    saved(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(ModelError, match="does not fit the model"):
        seen(tmp_path / "other", adapter=folder)


def test_an_adapter_whose_config_tells_another_rank_does_not_fit(tmp_path):
    model, base, folder = zoo_model("llama"), tmp_path / "base", tmp_path / "adapter"
    saved(base)
    get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM")).save_pretrained(folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"r": 4}))
    with pytest.raises(
        ModelError, match=r"8 have another size than its adapter_config\.json tells"
    ):
        seen(base, adapter=folder)


LARGE = {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
         "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256}  # fmt: skip


@pytest.mark.slow
def test_a_model_of_seventy_billion_needs_no_memory(tmp_path):
    AutoConfig.for_model("llama", **LARGE).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = seen(tmp_path)
    assert (found.numbers.total, found.weights) == (70_553_706_496, False)
    assert found.layers.groups[0].layers == "0–79"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**19, "half a GiB"


MISFITS = {
    "fewer layers": ({"num_hidden_layers": 1}, None, r"9 tensors that the model has no place for"),
    "more layers": ({"num_hidden_layers": 3}, None, r"lack 9 tensors, such as model\.layers\.2\."),
    "a smaller vocabulary": (
        {"vocab_size": 50}, None, r"lm_head\.weight: \(62, 32\) in the files and \(50, 32\)",
    ),
    "a shard without its norm": ({}, "model.norm.weight", r"lack 1 tensors, .*model\.norm\.weight"),
}  # fmt: skip


@pytest.mark.parametrize("misfit", MISFITS)
def test_weights_that_are_not_those_of_the_config_are_told(tmp_path, misfit):
    changed, dropped, said = MISFITS[misfit]
    saved(tmp_path)
    file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changed))
    tensors = {name: t for name, t in load_file(file).items() if name != dropped}
    save_file(tensors, file, metadata={"format": "pt"})
    found = seen(tmp_path)
    assert found.weights is False
    assert re.search(f"it cannot be loaded: .*{said}", found.notes[0])


@pytest.mark.parametrize(("metadata", "told"), [({}, 0), (None, 1), (["pt"], 1)])
def test_an_index_that_loading_refuses_is_told(tmp_path, metadata, told):
    tiny_model().save_pretrained(tmp_path, max_shard_size=20_000)
    tiny_tokenizer().save_pretrained(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": document["weight_map"], "metadata": metadata}))
    notes = seen(tmp_path).notes
    assert ["under metadata" in note for note in notes] == [True] * told
    if told:
        with pytest.raises(ModelError) as caught:
            load_model(str(tmp_path))
        assert notes == (f"it cannot be loaded: {caught.value}",)


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "gemma3", "gpt2", "bloom", "deepseek_v3"])
def test_weights_that_fit_are_told_as_such_whatever_their_names_in_the_files(tmp_path, kind):
    saved(tmp_path, kind)
    assert (seen(tmp_path).weights, seen(tmp_path).notes) == (True, ())


def test_a_config_that_counts_without_end_is_refused(tmp_path):
    AutoConfig.for_model("llama", num_hidden_layers=10_000_000).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"num_hidden_layers=10000000: expected at most 1000"):
        seen(tmp_path)


def test_a_folder_has_no_revisions(tmp_path):
    saved(tmp_path)
    with pytest.raises(ConfigError, match="has no revisions"):
        seen(tmp_path, revision="main")


def test_the_page_fits_a_terminal(tmp_path, capsys):
    saved(tmp_path, "qwen3_moe")
    (tmp_path / "model.safetensors").unlink()
    found = seen(tmp_path)
    # The folder's own name is given whole, so that it can be copied.
    assert all(len(line) <= 80 for line in list(lines_of(found))[1:] if str(tmp_path) not in line)
    assert main(["inspect", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert "router" in page
    assert "panacea" in page
    assert "note: it cannot be loaded" in page
    assert main(["inspect", str(tmp_path / "nowhere")]) == 2


def test_every_method_stands_apart_from_what_is_said_of_it(tmp_path):
    """The longest name had the width of its column: "preventative_steeringworks"."""
    saved(tmp_path)
    found = seen(tmp_path)
    told = [line.split()[:1] for line in lines_of(found) if line.startswith("  ")]
    assert [each.name for each in found.methods if [each.name] not in told] == []
