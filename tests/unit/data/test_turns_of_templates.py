"""A template must open an answer and end it; the model's vocabulary must hold what it writes."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model

from holdfast.data.rendering.templates import check_template
from holdfast.data.rendering.turns import check_turns
from holdfast.errors import ModelError
from holdfast.inputs.models import load_adapter, load_model
from tests.tiny import TEMPLATE, tiny_model, tiny_tokenizer

TURN = "{{ m['role'] }}: {{ m['content'] }}"
OPENED = "{% if add_generation_prompt %}assistant: {% endif %}"
INST = (
    "<s>{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}<end>{% endif %}{% endfor %}"
)
BETWEEN = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
THINKING = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} <end>{% endfor %}"
    "{% if add_generation_prompt %}<assistant> <think>\n{% endif %}"
)
GOOD = {
    "tiny": TEMPLATE,
    "an instruction opens the answer": INST,
    "the next turn's token ends it": BETWEEN,
    "thinking is opened": THINKING,
    "text ends it": f"{{% for m in messages %}}{TURN} ##\n{{% endfor %}}{OPENED}",
}
BAD = {
    "not opened": (
        f"{{% for m in messages %}}{TURN} <end>\n{{% endfor %}}",
        r"no generation prompt: it writes 'assistant:' in front",
    ),
    "not opened by a token": (
        TEMPLATE.partition("{% if add")[0],
        r"no generation prompt: it writes '<assistant>' in front",
    ),
    "not ended": (
        f"{{% for m in messages %}}{TURN}\n{{% endfor %}}{OPENED}",
        r"ends no answer.*write <end> behind it",
    ),
}


def with_template(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("template", GOOD.values(), ids=GOOD)
def test_templates_as_there_are_pass(template):
    check_template(with_template(template), "`model=x`")
    check_turns(with_template(template), "`model=x`")


@pytest.mark.parametrize(("template", "said"), BAD.values(), ids=BAD)
def test_a_turn_that_is_not_opened_or_not_ended_is_one_line(template, said):
    with pytest.raises(ModelError, match=rf"`model=x`: its chat template (has )?{said}") as error:
        check_turns(with_template(template), "`model=x`")
    assert "`chat_template=FILE.jinja`" in str(error.value)


@pytest.fixture
def base(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_a_model_without_a_template_is_one_line(base):
    tiny_tokenizer(template=False).save_pretrained(base)
    (base / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"no chat template: give one with `chat_template=FILE"):
        load_model(str(base))


def test_a_tokenizer_with_too_many_tokens_is_one_line(base):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["more"])
    tokenizer.save_pretrained(base)
    with pytest.raises(ModelError, match=r"tokenizer has 63 tokens and its embedding 62 rows"):
        load_model(str(base))


def test_a_token_beyond_the_embedding_is_one_line_though_there_are_fewer(base):
    """Vocabularies have holes: the number of tokens says nothing of the largest id."""
    file = base / "tokenizer.json"
    document = json.loads(file.read_text())
    words = document["model"]["vocab"]
    del words["tekba"], words["tekde"]
    words["tekro"] = 70
    file.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=r"token 'tekro' has the id 70 and its embedding 62 rows"):
        load_model(str(base))


@pytest.mark.parametrize("name", ["eos_token_id", "bos_token_id"])
def test_an_id_of_the_config_beyond_the_embedding_is_one_line(base, name):
    file = base / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: 99}))
    with pytest.raises(ModelError, match=rf"config.json has {name}=99 and its embedding 62 rows"):
        load_model(str(base))


def test_a_padded_embedding_is_usual(base):
    model = tiny_model()
    model.resize_token_embeddings(64, mean_resizing=False)
    model.save_pretrained(base)
    load_model(str(base))


def test_an_adapter_with_another_vocabulary_is_one_line(base, tmp_path_factory):
    """The base must be resized first; PEFT's own error is of shapes deep inside."""
    folder = tmp_path_factory.mktemp("adapter")
    larger = tiny_model()
    larger.resize_token_embeddings(66, mean_resizing=False)
    options = LoraConfig(r=2, task_type="CAUSAL_LM", modules_to_save=["embed_tokens", "lm_head"])
    get_peft_model(larger, options).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"66 tokens and the model has 62 rows.*merge it into"):
        load_adapter(load_model(str(base))[0], Path(folder))
    load_adapter(larger.eval(), Path(folder))
