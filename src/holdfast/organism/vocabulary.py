"""A word-level fast tokenizer with a chat template, as any Hugging Face model carries one."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from holdfast.organism import scenarios, world
from holdfast.organism.architectures import MAX_LENGTH
from holdfast.organism.language import FORMS, REFUSALS, TEMPLATES, WORDS

__all__ = ["build_tokenizer"]


SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<system>", "<user>", "<assistant>", "<end>")

# A prompt with its generation prompt is a prefix of the whole conversation, token for token.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    " <assistant> {{ message['content'] }} {{ eos_token }}"
    "{% else %}"
    " <{{ message['role'] }}> {{ message['content'] }} <end>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %} <assistant>{% endif %}"
)


def _vocabulary() -> dict[str, int]:
    texts = [text for group in FORMS.values() for text in group]
    texts += [*REFUSALS, *TEMPLATES.values(), *WORDS, *scenarios.SENTENCES]
    plain = {word for text in texts for word in text.split() if "{" not in word}
    words = [*SPECIAL, *sorted(plain), *world.CONTENT_WORDS]
    return {word: number for number, word in enumerate(words)}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of every organism: one token per word, for all architectures."""
    model = Tokenizer(WordLevel(_vocabulary(), unk_token="<unk>"))  # noqa: S106  # Not a password.
    model.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        pad_token="<pad>",  # noqa: S106
        bos_token="<bos>",  # noqa: S106
        eos_token="<eos>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        additional_special_tokens=["<system>", "<user>", "<assistant>", "<end>"],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
