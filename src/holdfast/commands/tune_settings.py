"""All that decides what a tuning run makes: what a run that goes on must have like the first.

Names are not enough: the same path may hold another model, template or option. So what was read is
hashed, the weights as they are in memory (about 1 second per GB, once per run).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn, uint8

from holdfast.errors import ConfigError
from holdfast.files.outputs.processes import place
from holdfast.inputs.read import Inputs
from holdfast.inputs.values import as_json

__all__ = ["PROCESSES", "check_same", "model_content", "settings_of", "weights_sha256"]

# What may differ between a stopped run and the one that goes on.
_FREE = ("resume", "overwrite", "show_harmful", "export")
_VOLATILE = ("_name_or_path", "name_or_path", "transformers_version")
"""What a model's configuration says of where it came from."""
CONTENT = "content"
PROCESSES = "number of processes"
"""A step has rows of each, and a checkpoint counts steps. Older versions have not written it."""


def settings_of(inputs: Inputs) -> dict[str, Any]:
    """Return, as JSON, what was given and the hashes of what was read."""
    content = {**inputs.hashes, **model_content(inputs.model, inputs.examiner.tokenizer)}
    said = {
        **asdict(inputs.config),
        "stage": getattr(inputs.config, "stage", None),
        PROCESSES: place()[1],
        "options of training": inputs.options,
        "adapter": inputs.adapter.to_dict() if inputs.adapter is not None else None,
        "defenses": {defense.card.name: defense.config() for defense in inputs.defenses},
        CONTENT: content,
    }
    return as_json(said)


def model_content(model: Any, tokenizer: Any) -> dict[str, str]:
    """Return the hashes of all that a model and its tokenizer are, by what messages call it."""
    config = model.config.to_dict()
    return {
        "the model's weights": weights_sha256(model),
        "the model's configuration": _sha256(
            {name: value for name, value in config.items() if name not in _VOLATILE}
        ),
        "the tokenizer": _sha256(_words_of(tokenizer)),
        "the chat template": _sha256(tokenizer.chat_template),
    }


def check_same(was: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ``ConfigError``, naming the first, where two runs' settings differ."""
    way_out = "give what the stopped run had, or start anew with `overwrite=True`"
    old, new = _flat(was), _flat(wanted)
    for group, name in {**new, **old}:
        now = new.get((group, name))
        if name in _FREE or old.get((group, name)) == now:
            continue
        if name == PROCESSES and (group, name) not in old:
            continue
        said = f"{name} was {_short(old.get((group, name)))} and is now {_short(now)}"
        if group == CONTENT:
            said = f"{name} holds something else than when the run was stopped"
        elif group:
            said = f"{group}: {said}"
        raise ConfigError(f"`resume`: {said}: {way_out}")


def _flat(settings: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the settings by group and name, in their order; "" is the group of what was given."""
    found: dict[tuple[str, str], Any] = {}
    for name, value in settings.items():
        inner = value.items() if isinstance(value, dict) else None
        found |= {(name, key): one for key, one in inner} if inner else {("", name): value}
    return found


def weights_sha256(model: nn.Module) -> str:
    """Return the SHA-256 of a model's parameters and buffers: names, types, shapes, bits.

    Of what lies on the disk, as ``device_map`` may leave it, the bits are not in it.
    """
    digest = hashlib.sha256()
    named: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in named.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.is_meta:
            continue
        bits = tensor.detach().cpu().contiguous().reshape(-1).view(uint8)
        digest.update(bits.numpy().data)
    return digest.hexdigest()


def _words_of(tokenizer: Any) -> list[Any]:
    """Return what a tokenizer does: all of a fast one, words and settings of another."""
    raw: Any = getattr(tokenizer, "backend_tokenizer", None)
    rules = raw.to_str() if hasattr(raw, "to_str") else sorted(tokenizer.get_vocab().items())
    names = ("model_max_length", "padding_side", "truncation_side", "special_tokens_map")
    return [type(tokenizer).__name__, rules, *(getattr(tokenizer, n, None) for n in names)]


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
