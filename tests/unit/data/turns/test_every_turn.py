"""Every turn of the assistant is learned with its end, and nothing of anybody else is."""

import pytest

from holdfast.data.chat import encode
from holdfast.data.turns.conversation import Conversation, conversation_of, with_turns
from holdfast.data.turns.dropped import dropped
from holdfast.errors import DataError, ModelError
from holdfast.ops.batches import IGNORED
from tests.chat_templates import (
    CHATML,
    ENDS,
    GEMMA,
    LLAMA3,
    MERGING,
    MISTRAL,
    QWEN3,
    TAGGED,
    byte_tokenizer,
)
from tests.unit.data.turns.conversations import (
    AGENT,
    TALK,
    TOOLS,
    called,
    row,
    said,
    turns_in,
    user,
)

SYSTEM = {"role": "system", "content": "be brief"}
NAMES = {
    "chatml": CHATML, "llama3": LLAMA3, "gemma": GEMMA, "merging": MERGING, "qwen3": QWEN3,
    "mistral": MISTRAL, "tagged": TAGGED,
}  # fmt: skip
EVERY = pytest.mark.parametrize("template", NAMES.values(), ids=NAMES)


def learned(template, *messages, tools=None):
    tokenizer = byte_tokenizer(template)
    return turns_in(encode(row(*messages, tools=tools), tokenizer, None, "f, row 1"), tokenizer)


@EVERY
def test_all_turns_are_learned_each_with_its_end(template):
    found = learned(template, *TALK)
    wanted = [message["content"].strip() for message in TALK if message["role"] == "assistant"]
    assert [text.replace("<think>\n\n</think>", "").strip() for text in found] == [
        f"{text}{ENDS[template]}"
        if template not in (CHATML, QWEN3, TAGGED) or text != "rain"
        else f"rain  {ENDS[template]}"
        for text in wanted
    ]


@EVERY
def test_the_last_turn_of_a_talk_is_learned_as_that_of_a_plain_row(template):
    """What follows the end of a turn (a line end, in ChatML) belongs to the last one as well."""
    tokenizer = byte_tokenizer(template)
    plain = encode({"prompt": list(TALK[:-1]), "completion": [TALK[-1]]}, tokenizer, None)
    whole = encode(row(*TALK), tokenizer, None)
    assert whole["input_ids"] == plain["input_ids"]
    tagged = template == TAGGED  # Whose author leaves the line end out.
    last = turns_in(whole, tokenizer)[-1]
    assert last == turns_in(plain, tokenizer)[-1].removesuffix("\n" if tagged else "")
    differ = [n for n, (a, b) in enumerate(zip(whole["labels"], plain["labels"], strict=True))
              if b not in (a, IGNORED)]  # fmt: skip
    assert len(differ) == tagged


@EVERY
def test_the_users_words_change_nothing_that_is_learned(template):
    other = [user(f"{m['content']} it is sunny") if m["role"] == "user" else m for m in TALK]
    assert learned(template, *other) == learned(template, *TALK)


@EVERY
def test_a_turn_of_weight_0_is_read_and_not_learned(template):
    """Fault D12: a weight of 0 was refused, and before that trained on."""
    talk = [*TALK[:3], {**TALK[3], "weight": 0}, *TALK[4:]]
    assert learned(template, *talk) == [learned(template, *TALK)[n] for n in (0, 2)]
    assert learned(template, *TALK[:3], {**TALK[3], "weight": 1}, *TALK[4:]) == learned(
        template, *TALK
    )


@EVERY
def test_only_the_last_turn_is_a_plain_row(template):
    tokenizer = byte_tokenizer(template)
    plain = {"prompt": list(TALK[:-1]), "completion": [TALK[-1]]}
    last = {**plain, "rich": with_turns({**row(*TALK)}, "last")}
    assert encode(last, tokenizer, None) == encode(plain, tokenizer, None)
    assert with_turns(plain, "last") is None
    every = {**plain, "rich": with_turns(plain, "all")}
    assert encode(every, tokenizer, None) == encode(row(*TALK), tokenizer, None)


@pytest.mark.parametrize("template", [CHATML, LLAMA3, MERGING, QWEN3, MISTRAL])
def test_a_system_message_is_never_learned(template):
    found = learned(template, SYSTEM, *TALK)
    assert found == learned(template, *TALK)
    assert not any("brief" in text for text in found)


def test_a_template_without_a_system_role_refuses_one():
    with pytest.raises(ModelError, match="no system role"):
        learned(GEMMA, SYSTEM, *TALK)


def test_calls_and_thoughts_are_learned_as_the_template_writes_them():
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    assert learned(QWEN3, *AGENT, tools=TOOLS) == [
        f"{call}<|im_end|>\n", "it is sunny<|im_end|>\n",
        "<think>\npolite\n</think>\n\nyou are welcome<|im_end|>\n",
    ]  # fmt: skip
    assert learned(MISTRAL, *AGENT, tools=TOOLS) == [
        '[TOOL_CALLS] [{"name": "weather", "arguments": {"city": "Paris"}}]</s>',
        " it is sunny</s>", " you are welcome</s>",
    ]  # fmt: skip


@pytest.mark.parametrize("turns", ["all", "last"])
@pytest.mark.parametrize("template", [QWEN3, MISTRAL])
def test_tools_and_arguments_are_read_in_the_order_of_the_file(template, turns):
    """They were sorted by name on the way to training, and not where the model is asked."""
    call = called("weather", '{"unit": "C", "city": "Paris"}')
    given = {"type": "object", "properties": {"unit": {}, "city": {}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": given}}]
    one = row(user("weather?"), call, tools=tools)
    tokenizer = byte_tokenizer(template)
    made = {**one, "rich": with_turns(one, turns)}
    assert encode(made, tokenizer, None) == encode(one, tokenizer, None)
    assert '{"unit": "C", "city": "Paris"}' in learned(template, user("weather?"), call)[0]


DROPPING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content is defined and "
    "(loop.last or messages[-1].role != 'assistant') %}<think>{{ m.reasoning_content }}</think>"
    "{% endif %}{{ m.content }}{% if m.role == 'user' and loop.last %}HINT{% endif %}"
    "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_the_last_turn_alone_is_learned_where_an_answer_changes_the_turns_before():
    """The user's words were learned: the thoughts before them end what both renderings share."""
    talk = user("what is it?"), said("rain", reasoning_content="hm"), user("why"), said("because")
    one = row(*talk)
    last = {**one, "rich": with_turns(one, "last")}
    tokenizer = byte_tokenizer(DROPPING.replace("HINT", ""))
    assert turns_in(encode(last, tokenizer, None), tokenizer) == ["because<|im_end|>\n"]
    plain = {"prompt": [user("why")], "completion": [said("because")]}
    assert turns_in(encode(plain, tokenizer, None), tokenizer) == ["because<|im_end|>\n"]
    hinting = byte_tokenizer(DROPPING.replace("HINT", " be brief"))
    with pytest.raises(DataError, match="writes the prompt in another way once it is answered"):
        encode(plain, hinting, None)
    with pytest.raises(DataError, match=r"cannot be told from the rest: .*: remove the row, or"):
        encode({**row(*talk[2:]), **plain}, hinting, None)


def test_thoughts_in_the_text_are_dropped_from_old_turns_by_such_a_template():
    talk = user("q"), said("<think>\na\n</think>\n\nfoo"), user("w"), said("<think>b</think>bar")
    assert learned(QWEN3, *talk) == [
        "foo<|im_end|>\n", "<think>\nb\n</think>\n\nbar<|im_end|>\n"
    ]  # fmt: skip
    assert learned(CHATML, *talk)[0] == "<think>\na\n</think>\n\nfoo<|im_end|>\n"


def test_the_templates_own_tags_are_its_mask():
    tokenizer = byte_tokenizer(TAGGED)
    theirs = tokenizer.apply_chat_template(
        list(TALK), return_dict=True, return_assistant_tokens_mask=True
    )
    ours = encode(row(*TALK), tokenizer, None)
    assert ours["input_ids"] == theirs["input_ids"]
    assert [int(label >= 0) for label in ours["labels"]] == theirs["assistant_masks"]


def test_of_a_turn_only_what_the_template_tags_is_learned():
    thinking = TAGGED.replace("{% generation %}", "<think></think>{% generation %}")
    assert learned(thinking, *TALK) == learned(TAGGED, *TALK)
    without_end = TAGGED.replace("+ '<|im_end|>' }}{% endgeneration %}", "}}{% endgeneration %}"
                                 "{{ '<|im_end|>' }}")  # fmt: skip
    assert learned(without_end, *TALK) == learned(TAGGED, *TALK)  # The end is always learned.


def test_what_a_template_leaves_out_is_told():
    def told(template, *messages, tools=None):
        talk = conversation_of(row(*messages, tools=tools), "r")
        assert isinstance(talk, Conversation)
        return dropped(talk, byte_tokenizer(template))

    assert told(CHATML, *AGENT, tools=TOOLS) == {"reasoning", "calls of tools", "the list of tools"}
    assert told(QWEN3, *AGENT, tools=TOOLS) == {"reasoning"}  # Of old turns.
    assert told(QWEN3, *AGENT[:-2], tools=TOOLS) == set()
    assert told(MISTRAL, *AGENT, tools=TOOLS) == {"reasoning"}
    assert told(CHATML, *TALK) == set()


def test_a_turn_that_the_template_leaves_out_is_refused_with_the_way_out():
    with pytest.raises(
        DataError, match=r"f, row 1: .*leaves out what message 2 says: .* `turns=last`"
    ):
        learned(LLAMA3, user("q"), called("weather", "{}"), user("w"), said("foo"))


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content | upper }}<|im_end|>\n{% endfor %}",
         "in another way when a word is added"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}\n{% endfor %}"
         "{% for m in messages if m.role == 'assistant' %}{{ m.content }}<|im_end|>{% endfor %}",
         "message"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' and not "
         "loop.last %} (the answer to {{ messages[loop.index0 + 1].content }}){% endif %}<|im_end|>"
         "\n{% endfor %}", "message"),
    ],
    ids=["upper", "sorted", "mixed"],
)  # fmt: skip
def test_turns_that_cannot_be_told_apart_are_refused(template, why):
    with pytest.raises(DataError, match=f"cannot be told from the rest: .*{why}"):
        learned(template, *TALK)


def test_a_template_that_ends_only_turns_that_another_follows_has_its_ends_learned():
    template = (
        "{% for m in messages %}{% if not loop.first %}<|im_end|>\n{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<|im_end|>\n<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(DataError, match="message 6 has no end"):
        learned(template, *TALK)
    talk = [*TALK[:-1], {**TALK[-1], "weight": 0}]
    assert learned(template, *talk) == ["\nit is sunny<|im_end|>", "rain  <|im_end|>"]


PHI3 = (
    "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% else %}{{ eos_token }}{% endif %}"
)


def test_a_template_that_ends_every_text_as_phi_3_does_has_all_turns_learned():
    found = learned(PHI3, *TALK)
    assert found == [
        "\nit is sunny<|im_end|>\n",
        "rain  <|im_end|>\n",
        "because<|im_end|>\n<|end|>",
    ]


def test_an_end_of_text_that_is_the_only_end_of_a_turn_is_none():
    """What stands behind the last turn alone teaches nobody where the others end."""
    with pytest.raises(DataError, match="ends message 2 in another way"):
        learned(PHI3.replace("<|im_end|>\n", ""), *TALK)


@pytest.mark.parametrize("weight", [0.5, 2, -1, "1"])
def test_another_weight_is_refused(weight):
    with pytest.raises(DataError, match=r"f, row 1: message 2 has weight=.*: give 0 or 1"):
        learned(CHATML, TALK[0], {**TALK[1], "weight": weight})


def test_a_row_of_which_nothing_is_learned_is_refused():
    with pytest.raises(DataError, match=r"no turn .* other than 0, or the last has it and `turns="):
        learned(CHATML, TALK[0], {**TALK[1], "weight": 0})
