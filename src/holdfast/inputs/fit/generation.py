"""The end and padding tokens that a model's ``generation_config.json`` names, and no more of it.

Decoding is ours alone (``evaluation/decoding.py``), and models that we write carry what they were
measured with. A file that cannot be read is no fault of a model: its tokens are then those of the
config and of the tokenizer.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig
from transformers.utils.hub import cached_file

from holdfast.data.rendering.turns import text_end, turn_ends
from holdfast.evaluation.decoding import end_tokens
from holdfast.files.guarded.documents import json_in

__all__ = ["decoding_notes", "end_notes", "ends_only"]

FILE = "generation_config.json"
_KEPT = ("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id")
_NEUTRAL: dict[str, Any] = {
    "do_sample": False, "temperature": 1.0, "top_p": 1.0, "top_k": 50, "repetition_penalty": 1.0,
    "num_beams": 1, "no_repeat_ngram_size": 0, "use_cache": True, "max_length": 20,
    "min_length": 0, "num_return_sequences": 1, "length_penalty": 1.0, "typical_p": 1.0,
    "diversity_penalty": 0.0, "num_beam_groups": 1, "encoder_no_repeat_ngram_size": 0,
}  # fmt: skip
"""What says nothing but greedy decoding."""


def ends_only(
    name: str, model: Any, tokenizer: Any, *, local: bool, revision: str | None = None
) -> GenerationConfig:
    """Return what ``model`` is to be generated with: its end, padding and first tokens alone.

    The token that ends a turn of the chat template is one of the end tokens.
    """
    found, _ = _read(name, local=local, revision=revision)
    given = GenerationConfig(eos_token_id=found.get("eos_token_id"))
    of_config = end_tokens(model.config.get_text_config())
    named = end_tokens(given) or of_config
    size = model.get_input_embeddings().weight.shape[0]
    ends = _within(sorted(named | end_tokens(tokenizer) | set(turn_ends(tokenizer))), size)
    single = {key: _within([found.get(key), getattr(model.config, key, None)], size) for key in
              ("pad_token_id", "bos_token_id")}  # fmt: skip
    kept = {key: ids[0] for key, ids in single.items() if ids}
    return GenerationConfig(eos_token_id=ends if len(ends) != 1 else ends[0], **kept)


def decoding_notes(name: str, *, local: bool, revision: str | None = None) -> list[str]:
    """Return a sentence on what of the model's own settings is ignored, if anything."""
    found, fault = _read(name, local=local, revision=revision)
    if fault:
        return [f"{name}: {FILE} {fault}: it is ignored; answers are decoded greedily"]
    told = [
        f"{key}={json.dumps(value, default=str)[:40]}"
        for key, value in found.items()
        if key not in _KEPT and not key.startswith(("_", "transformers_version"))
        if value not in (None, False, [], {}) and _NEUTRAL.get(key) != value
    ]
    if not told:
        return []
    return [
        f"{name}: {FILE} sets {', '.join(sorted(told))}, which is ignored: answers are decoded "
        "greedily, and what is written keeps the end and padding tokens alone"
    ]


def end_notes(name: str, tokenizer: Any) -> list[str]:
    """Return a sentence where a turn ends with text: no token then tells a server to stop."""
    text = text_end(tokenizer)
    if not text:
        return []
    count = len(tokenizer.encode(text, add_special_tokens=False))
    return [
        f"{name}: its chat template ends a turn with the text {text[:40]!r} ({count} tokens), for "
        "which no end token stands: give it to a server as a stop string"
    ]


def _read(name: str, *, local: bool, revision: str | None) -> tuple[Mapping[str, Any], str]:
    """Return the file's document and, where it cannot be used, why."""
    try:
        where = os.path.join(name, FILE) if local else _cached(name, revision)  # noqa: PTH118
        if where is None or not os.path.isfile(where):  # noqa: PTH113
            return {}, ""
        found = json_in(Path(where))
    except (OSError, ValueError):
        return {}, "cannot be read"
    return (found, "") if isinstance(found, dict) else ({}, "is no JSON object")


def _cached(name: str, revision: str | None) -> str | None:
    return cached_file(
        name, FILE, revision=revision, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )  # fmt: skip


def _within(tokens: Iterable[Any], size: int) -> list[int]:
    """Return the tokens that the model has."""
    return [
        token
        for token in tokens
        if isinstance(token, int) and not isinstance(token, bool) and 0 <= token < size
    ]
