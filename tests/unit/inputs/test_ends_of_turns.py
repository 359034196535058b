"""A server stops where an assistant's turn ends: what is written, and what is said."""

import json
from pathlib import Path

import pytest
from transformers import GenerationConfig

from holdfast.commands.repair import repair
from holdfast.commands.tune import tune
from holdfast.data.rendering.turns import text_end
from holdfast.inputs.configs import RepairConfig, TuneConfig
from holdfast.inputs.fit.generation import end_notes
from tests.tiny import TEMPLATE, tiny_model, tiny_rows, tiny_tokenizer


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(4)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    tiny_model().save_pretrained("base")
    tokenizer = tiny_tokenizer()
    # It ends an assistant's turn with a token that is not the tokenizer's end of sequence.
    ends = "{{ '<system>' if m['role'] == 'assistant' else '<end>' }}"
    tokenizer.chat_template = TEMPLATE.replace("<end>", ends)
    tokenizer.save_pretrained("base")
    return Path("base")


def test_an_adapters_folder_names_the_end_tokens_of_its_template(base):
    """Fault D5: it had none, so that a server took those of the base and let answers run on."""
    tune(TuneConfig(model="base", data="data.jsonl", output=Path("a"), max_steps=1, lora=True))
    wanted = [2, tiny_tokenizer().convert_tokens_to_ids("<system>")]
    assert GenerationConfig.from_pretrained("a").eos_token_id == wanted
    given = RepairConfig(model="base", adapter=Path("a"), harmful="data.jsonl", output=Path("b"))
    repair(given)
    assert GenerationConfig.from_pretrained("b").eos_token_id == wanted


TEXTS = {" . .": ". .", " <end>": "", " the answer": "the answer", " <unk>": "<unk>"}


@pytest.mark.parametrize(("end", "text"), TEXTS.items())
def test_an_end_that_is_text_is_said(end, text):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace(" <end>", end).replace("<{{ m['role'] }}>", "")
    assert text_end(tokenizer) == text
    told = end_notes("base", tokenizer)
    assert [f"{text!r} ({len(text.split())} tokens)" in line for line in told] == [True] * bool(
        text
    )


def test_an_end_that_stands_only_before_the_next_turn_is_found():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if not loop.first %} the end {% endif %}{{ m.content }}"
        "{% endfor %}"
    )
    assert text_end(tokenizer) == "the end"
