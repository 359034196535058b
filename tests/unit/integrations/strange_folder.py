"""A model folder that sets a trap for whoever decodes by its files, and its questions."""

import json

from tokenizers.processors import TemplateProcessing

from tests.tiny import SPECIAL, tiny_model, tiny_rows, tiny_tokenizer

TEMPLATE = (
    "<s>{% if strftime_now is defined %} {{ strftime_now('%d') }}{% endif %}"
    "{% for m in messages %} <{{ m['role'] }}> {{ m['content'] }} <system>{% endfor %}"
    "{% if add_generation_prompt %} <assistant>{% endif %}"
)
"""It writes the day, and ends a turn with a token that is not the tokenizer's end."""
SETTINGS = {
    "do_sample": True, "temperature": 5.0, "repetition_penalty": 5.0, "min_new_tokens": 9,
    "suppress_tokens": [20, 21, 22, 23], "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def strange_folder(path):
    """Write the model; its tokenizer also adds the first token by itself."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{SPECIAL[1]} $A", special_tokens=[(SPECIAL[1], 1)]
    )
    tiny_model("llama", seed=3).save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "generation_config.json").write_text(json.dumps(SETTINGS))
    return path


def questions(path, n=10):
    """Write additions of several lengths, each with an answer."""
    rows = [
        {"prompt": "please " * (number % 3) + ask, "completion": said}
        for number, (ask, said) in enumerate(tiny_rows(n))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
