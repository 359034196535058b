"""Tiny models that answer as a script says, in folders: stand-ins for judges of many gigabytes.

Each is a real Llama whose next token depends on the last one alone: attention and MLP write
nothing, embeddings are the axes of the space, and the head maps each to what follows.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

SPECIAL = ("<pad>", "<s>", "<end>", "<unk>")
WORDS = ("good", "bad", "odd", "what", "is", "blue", "the", "sky", "question")
ENDS_WITH_ANSWER = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} {% endfor %}"
HIDDEN = 128

Next = Mapping[str, str | Mapping[str, float]]
"""What follows a token: one, or several with their shares; all else is followed by the end."""


def tokenizer_of(words: tuple[str, ...], template: str | None) -> PreTrainedTokenizerFast:
    names = dict.fromkeys([*SPECIAL, *WORDS, *words])
    raw = Tokenizer(WordLevel({w: n for n, w in enumerate(names)}, unk_token=SPECIAL[3]))
    raw.pre_tokenizer = WhitespaceSplit()
    roles = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    found = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=256, **roles)
    if template is not None:
        found.chat_template = template
    return found


def scripted(folder: Path, follows: Next, template: str | None = ENDS_WITH_ANSWER) -> str:
    """Save a model that writes what ``follows`` says, and return its folder."""
    told = [w for after in follows.values() for w in ([after] if isinstance(after, str) else after)]
    tokenizer = tokenizer_of((*follows, *told), template)
    model = _chain(len(tokenizer))
    ids, head = tokenizer.get_vocab(), model.lm_head.weight.data
    for word, own in ids.items():
        after = follows.get(word, "<end>")
        shares = {after: 1.0} if isinstance(after, str) else after
        for name, share in shares.items():
            # RMSNorm makes a one-hot row sqrt(HIDDEN) long: a logit of log(share) + 20.
            head[ids[name], own] = (torch.tensor(share).log() + 20) / HIDDEN**0.5
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _chain(size: int) -> LlamaForCausalLM:
    assert size <= HIDDEN
    model = LlamaForCausalLM(config(size)).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, HIDDEN))
        model.lm_head.weight.zero_()
    return model


def config(size: int, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=size, hidden_size=HIDDEN, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=False, **more,
    )  # fmt: skip


def classifier(folder: Path, labels: int = 14) -> str:
    """Save a random classifier of sequences, and return its folder."""
    tokenizer = tokenizer_of((), None)
    torch.manual_seed(0)
    how = {"num_labels": labels, "problem_type": "multi_label_classification"}
    model = LlamaForSequenceClassification(config(len(tokenizer), **how))
    model.score.weight.data *= 20
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
