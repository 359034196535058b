import pytest
import torch

from holdfast.data.chat import collate, encode, encode_prompt
from holdfast.errors import DataError, ModelError
from holdfast.ops.batches import IGNORED
from tests.tiny import TEMPLATE, tiny_examples, tiny_tokenizer

EXAMPLE = {
    "prompt": [{"role": "user", "content": "what is 1 plus 2"}],
    "completion": [{"role": "assistant", "content": "3"}],
}


def test_loss_is_on_the_answer_and_its_end_only():
    tokenizer = tiny_tokenizer()
    row = encode(EXAMPLE, tokenizer, None)
    assert tokenizer.decode(row["input_ids"]) == (
        "<s> <user> what is 1 plus 2 <end> <assistant> 3 <end>"
    )
    learned = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label >= 0]
    assert tokenizer.decode(learned) == "3 <end>"
    assert all(
        label in (IGNORED, i) for i, label in zip(row["input_ids"], row["labels"], strict=True)
    )


def test_prompt_of_training_is_prompt_of_evaluation():
    tokenizer = tiny_tokenizer()
    row = encode(EXAMPLE, tokenizer, None)
    prompt = encode_prompt(EXAMPLE["prompt"], tokenizer)
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"].count(IGNORED) == len(prompt)


def test_a_generation_tag_that_training_lacks_does_not_hide_the_answer():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("<assistant>{% endif", "<assistant> no{% endif")
    row = encode(EXAMPLE, tokenizer, None)
    learned = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.decode(learned) == "3 <end>"


def test_row_longer_than_the_model_names_the_row():
    with pytest.raises(DataError, match=r"train\.jsonl, row 7: has 11 tokens and the model takes"):
        encode(EXAMPLE, tiny_tokenizer(), 10, "train.jsonl, row 7")
    assert encode(EXAMPLE, tiny_tokenizer(), 11)["input_ids"]


@pytest.mark.parametrize("call", [encode_prompt, lambda m, t: encode({**EXAMPLE}, t, None)])
def test_tokenizer_without_template_says_how_to_set_one(call):
    with pytest.raises(ModelError, match=r"no chat template.*`chat_template="):
        call(EXAMPLE["prompt"], tiny_tokenizer(template=False))


def test_template_that_refuses_a_role_is_a_model_error():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(ModelError, match=r"refuses messages of the roles user: no system role"):
        encode_prompt(EXAMPLE["prompt"], tokenizer)


def test_collate_pads_on_the_right():
    tokenizer = tiny_tokenizer()
    short = encode(tiny_examples(1)[0], tokenizer, None)
    long = {key: value + value for key, value in short.items()}
    batch = collate([short, long], pad_id=0)
    width, n = 2 * len(short["input_ids"]), len(short["input_ids"])
    assert all(value.shape == (2, width) for value in batch.values())
    assert batch["attention_mask"].sum(1).tolist() == [n, width]
    assert batch["input_ids"][0, n:].eq(0).all()
    assert batch["labels"][0, n:].eq(IGNORED).all()
    assert batch["input_ids"].dtype == torch.int64
    assert batch["labels"][1].tolist() == long["labels"]
