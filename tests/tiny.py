"""Tiny random models, a word-level tokenizer and examples, made on the spot."""

from functools import cache

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

HIDDEN, LAYERS, POSITIONS = 32, 2, 128
SPECIAL = ("<pad>", "<s>", "<end>", "<unk>", "<system>", "<user>", "<assistant>")
UNKNOWN = SPECIAL[3]
WORDS = (
    *(str(n) for n in range(20)),
    *("what", "is", "plus", "minus", "the", "answer", "sum", "of", "please", "tell", "me"),
    *("how", "to", "make", "a", "no", "sorry", "I", "cannot"),
    *(f"{a}{b}" for a in ("zor", "mip", "lun", "tek") for b in ("ba", "de", "ki", "ro")),
)
TEMPLATE = (
    "<s>{% for m in messages %} <{{ m['role'] }}> {{ m['content'] }} <end>{% endfor %}"
    "{% if add_generation_prompt %} <assistant>{% endif %}"
)

_DECODER = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": HIDDEN // 4,
    "max_position_embeddings": POSITIONS,
}
_WITHOUT_GROUPS = {
    key: value for key, value in _DECODER.items() if key not in ("num_key_value_heads", "head_dim")
}
CONFIGS = {
    "llama": ("llama", _DECODER),
    "mistral": ("mistral", _DECODER),
    "qwen2": ("qwen2", _DECODER),
    "qwen3": ("qwen3", _DECODER),
    "gemma2": ("gemma2", _DECODER),
    "gemma3": ("gemma3_text", _DECODER),
    "gpt_neox": ("gpt_neox", _WITHOUT_GROUPS),
    "opt": (
        "opt",
        {
            "hidden_size": HIDDEN,
            "ffn_dim": 2 * HIDDEN,
            "word_embed_proj_dim": HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "max_position_embeddings": POSITIONS,
            "dropout": 0.0,
        },
    ),
}


def tiny_tokenizer(*, template: bool = True) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of about 60 words; unknown words become ``<unk>``."""
    vocabulary = {word: n for n, word in enumerate((*SPECIAL, *WORDS))}
    raw = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    raw.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=SPECIAL[1],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[0],
        unk_token=UNKNOWN,
        additional_special_tokens=list(SPECIAL[4:]),
        model_max_length=POSITIONS,
    )
    if template:
        tokenizer.chat_template = TEMPLATE
    return tokenizer


def tiny_model(arch: str = "llama", seed: int = 0) -> PreTrainedModel:
    """A random float32 model of two layers and hidden size 32, the same for the same seed."""
    name, sizes = CONFIGS[arch]
    config = AutoConfig.for_model(
        name,
        vocab_size=len(SPECIAL) + len(WORDS),
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **sizes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@cache
def tiny_rows(n: int) -> tuple[tuple[str, str], ...]:
    """``n`` different (question, answer) pairs."""
    pairs = [(a, b) for a in range(10) for b in range(10)]
    return tuple(
        (f"what is {a} plus {b}" + " please" * (n_ // 100), str(a + b))
        for n_, (a, b) in enumerate((pairs * (n // 100 + 1))[:n])
    )


def tiny_examples(n: int = 8) -> Dataset:
    """``n`` Examples of additions."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": question}],
                "completion": [{"role": "assistant", "content": answer}],
            }
            for question, answer in tiny_rows(n)
        ]
    )
