"""From prompts to tokens: where a template cannot be asked, that is said by name."""

import pytest

from holdfast.data.chat import encode_prompt
from holdfast.errors import DataError
from holdfast.evaluation import Item
from holdfast.evaluation.redteam import Asked, Context, Target, attack_prompts
from holdfast.evaluation.redteam.english import ENGLISH
from holdfast.evaluation.redteam.rendered import SAME_AS_DIRECT, prompt_ids, why_not
from tests.chat_templates import CHATML, GEMMA, LLAMA3, byte_tokenizer
from tests.tiny import tiny_model, tiny_tokenizer

USER = [{"role": "user", "content": "what is the weather"}]
SYSTEM = [{"role": "system", "content": "be brief"}]
ITEMS = [Item("h", "harmful", USER)]
THINKING = CHATML.replace("assistant\\n{% endif", "assistant\\n<think>\\n{% endif").replace(
    "assistant\n{% endif", "assistant\n<think>\n{% endif"
)
DEAF = CHATML.replace("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")


def of(variant, template):
    """Why a way to ask cannot be asked, by its name."""
    names = ("direct", "prefill", "template", "persona")
    asked = [e for name in names for e in attack_prompts(name, ITEMS, Context(ENGLISH))]
    return why_not([each for each in asked if each.variant == variant], byte_tokenizer(template))


def test_a_prefilled_answer_stands_behind_the_prompt_as_5_to_10_tokens():
    tokenizer = byte_tokenizer(CHATML)
    ids = prompt_ids(Asked("h", "prefill", USER, prefill=ENGLISH.agreement), tokenizer)
    prompt = encode_prompt(USER, tokenizer)
    assert ids[: len(prompt)] == prompt
    begun = ids[len(prompt) :]
    assert len(begun) == 10
    assert ENGLISH.agreement.startswith(tokenizer.decode(begun))
    short = Asked("h", "prefill", USER, prefill="ok")
    assert "fewer than 5 tokens" in why_not([short], tokenizer)


def test_a_text_is_asked_without_any_template():
    tokenizer = byte_tokenizer(CHATML)
    ids = prompt_ids(Asked("h", "none", text="what is it"), tokenizer)
    assert tokenizer.decode(ids) == "what is it"


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_what_a_template_can_be_asked(template):
    for variant in ("direct", "prefill", "other", "none", "obedience", "identity"):
        assert of(variant, template) == ""


def test_a_system_prompt_that_a_template_writes_itself_is_left_out():
    tokenizer = byte_tokenizer(CHATML)
    bare = Asked("h", "no_system", USER, no_system=True)
    assert why_not([bare], tokenizer) == ""
    text = tokenizer.decode(prompt_ids(bare, tokenizer))
    assert "helpful assistant" in tokenizer.decode(encode_prompt(USER, tokenizer))
    assert "helpful assistant" not in text
    assert of("no_system", LLAMA3) == SAME_AS_DIRECT
    dropped = Asked("h", "no_system", USER, no_system=True, dropped=True)
    llama = byte_tokenizer(LLAMA3)
    assert why_not([dropped], llama) == ""
    assert prompt_ids(dropped, llama) == encode_prompt(USER, llama)


def test_no_system_turn_is_said():
    assert "refuses messages of the roles system, user" in of("obedience", GEMMA)
    assert of("identity", GEMMA) == ""
    assert of("no_system", GEMMA) == SAME_AS_DIRECT
    assert of("obedience", DEAF) == "its chat template leaves the system message out"


def test_an_open_thought_takes_no_answer():
    assert "opens a thought" in of("prefill", THINKING)
    assert of("direct", THINKING) == ""


def test_a_prompt_without_room_for_an_answer_is_named():
    target = Target(tiny_model(), tiny_tokenizer(), max_new_tokens=120, limit=128)
    with pytest.raises(DataError, match=r"attack 'direct' on question h has .*max_new_tokens"):
        target.check("direct", [Asked("h", "direct", [*SYSTEM, *USER])])
    Target(tiny_model(), tiny_tokenizer(), 64, 64, 128).check("direct", [Asked("h", "d", USER)])
