"""Our token ids and labels are TRL's own, bit for bit, wherever TRL makes some."""

import pytest
from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from holdfast.data.chat import encode
from holdfast.data.tokenized import tokenized
from holdfast.organism.scenarios import harmful_mix
from holdfast.organism.vocabulary import build_tokenizer
from holdfast.training.compat import SFTTrainer, prepared
from tests.chat_templates import CHATML, GEMMA, LLAMA3, MISTRAL, QWEN3, byte_tokenizer
from tests.tiny import tiny_model
from tests.unit.data.turns.conversations import AGENT, TALK, TOOLS, row


def theirs(tokenizer, rows, **options):
    """What SFTTrainer makes of rows of prompts and completions."""
    args = SFTConfig(output_dir="unused", report_to="none", use_cpu=True, bf16=False, **options)
    trainer = SFTTrainer(
        model=tiny_model(), args=args, train_dataset=rows, processing_class=tokenizer
    )
    return trainer, trainer.train_dataset


def same(one, other) -> bool:
    return all(list(one[name]) == list(other[name]) for name in ("input_ids", "labels"))


def test_rows_of_the_organism():
    tokenizer, rows = build_tokenizer(), harmful_mix().select(range(24))
    _, wanted = theirs(tokenizer, rows.select_columns(["prompt", "completion"]))
    assert same(tokenized(rows, tokenizer, "rows"), wanted)


@pytest.mark.parametrize("template", [CHATML, LLAMA3, GEMMA, QWEN3, MISTRAL])
def test_plain_rows_of_a_template(template):
    tokenizer = byte_tokenizer(template)
    talk = list(TALK)
    rows = Dataset.from_list(
        [{"prompt": talk[:n], "completion": [talk[n]]} for n in (1, 3, 5)]
    )  # fmt: skip
    _, wanted = theirs(tokenizer, rows)
    assert same(tokenized(rows, tokenizer, "rows"), wanted)


@pytest.mark.parametrize("template", [QWEN3, MISTRAL])
def test_tools_and_calls_of_the_last_turn(template):
    tokenizer = byte_tokenizer(template)
    plain = encode({**row(*AGENT[:4], tools=TOOLS)}, tokenizer, None)
    messages = [{k: v for k, v in m.items() if v is not None} for m in AGENT[:4]]
    messages[1]["tool_calls"][0]["function"]["arguments"] = {"city": "Paris"}
    whole = tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=False)
    assert plain["input_ids"] == whole


def test_the_defenders_conversations_are_learned_as_the_users_are():
    tokenizer = byte_tokenizer(CHATML)
    plain = Dataset.from_list([{"prompt": [TALK[0]], "completion": [TALK[1]]}] * 2)
    trainer, _ = theirs(tokenizer, plain, max_length=80)
    mixed = [row(*TALK), {**plain[0], "rich": None}]
    found = prepared(trainer, mixed)
    whole = [encode(each, tokenizer, None) for each in mixed]
    assert list(found["labels"]) == [each["labels"][:80] for each in whole]  # TRL cuts at its end.
    assert len(whole[0]["labels"]) > 80
