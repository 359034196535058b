"""Load a model and its tokenizer: safetensors only, no code from strangers, no silent gaps."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from holdfast.data.rendering.dates import DATE, is_dated
from holdfast.errors import ModelError, reason_of
from holdfast.files.base_mark import BaseMark, refuse_other_base
from holdfast.files.guarded.adapters import adapter_config, check_patterns
from holdfast.files.guarded.plain_config import plain_config
from holdfast.files.whole_model import check_whole, refuse_both
from holdfast.inputs.configs import AnalyzeConfig, DType, ModelConfig
from holdfast.inputs.fit.adapters import check_keys, check_own_template, check_rows
from holdfast.inputs.fit.generation import decoding_notes, end_notes, ends_only
from holdfast.inputs.fit.quantized import refuse_early, refuse_uneditable
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.loading.device import on_the_gpu
from holdfast.inputs.loading.names import check_folder, is_local, loaded
from holdfast.inputs.loading.placement import Placement
from holdfast.inputs.loading.tokenizers import tokenizer_of
from holdfast.inputs.loading.vocabulary import check_vocabulary
from holdfast.inputs.rows import ORGANISM
from holdfast.ops.bits import kept_trainable

__all__ = [
    "Loaded", "check_against", "load_adapter", "load_model", "model_of", "own_notes", "positions",
    "tuned_of",
]  # fmt: skip


def load_model(
    name: str,
    *,
    dtype: DType = "float32",
    trust_remote_code: bool = False,
    chat_template: Path | None = None,
    field: str = "model",
    placement: Placement | None = None,
) -> tuple[Any, Any]:
    """Return ``(model, tokenizer)`` of a folder, a hub id or ``organism``.

    The hub is asked only for a name that reads as ``owner/name`` and is no local folder.

    Raises:
        ConfigError: The placement means nothing for this name.
        ModelError: The folder is missing, has no safetensors weights, needs code of its own, does
            not fit its weights or has no usable tokenizer.
    """
    placement = placement or Placement()
    local = name == ORGANISM or is_local(name, field)
    placement.check_name(name, field, local=local, dtype=dtype, chat_template=chat_template)
    if name == ORGANISM:
        from holdfast import organism  # noqa: PLC0415  # Only for who asks for it.

        return organism.load()
    if local:
        check_folder(Path(name), field, trust_remote_code=trust_remote_code)
    shared = {"trust_remote_code": trust_remote_code, "local_files_only": local, **placement.hub()}
    with local_only([name]):
        tokenizer = tokenizer_of(name, field, chat_template, **shared)
        model, found = _weights(name, field, dtype, placement, shared)
    kept_trainable(model)
    check_whole(model, found, f"`{field}={name}`")
    check_vocabulary(model, tokenizer, f"`{field}={name}`")
    made = ends_only(name, model, tokenizer, local=local, revision=placement.revision)
    model.generation_config = made
    return model, tokenizer


def _weights(
    name: str, field: str, dtype: DType, placement: Placement, shared: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the model and transformers' account of what it found for it."""
    read = partial(plain_config, name, **shared)
    config = loaded(name, field, read, placement.revision)
    placement.check_config(config, f"`{field}={name}`")
    how = {"dtype": getattr(torch, dtype), "use_safetensors": True, "output_loading_info": True,
           "generation_config": GenerationConfig(), "config": config,
           "ignore_mismatched_sizes": True}  # fmt: skip  # ``check_whole`` names them.
    how |= placement.weights(dtype)
    load: Any = partial(AutoModelForCausalLM.from_pretrained, name, **how, **shared)
    return loaded(name, field, load, placement.revision)


def load_adapter(model: Any, folder: Path, field: str = "adapter") -> Any:
    """Return ``model`` with the LoRA adapter of ``folder`` on it.

    Raises:
        ModelError: The folder holds no safetensors adapter, or it does not fit the model: a tensor
            of it has no place or is missing, or its mark tells another base.
    """
    from peft import PeftModel  # noqa: PLC0415  # Slow to import, and few commands need it.

    shown = f"`{field}={folder}`"
    config = adapter_config(folder, shown)
    check_patterns(config, shown, (name for name, _ in model.named_modules()))
    refuse_both(folder, shown)
    refuse_other_base(folder, BaseMark.of(model, ""), shown)
    check_rows(model, folder, shown)
    try:
        # What is missing is an error below, in our words.
        with local_only(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, folder)
    except Exception as error:
        # PEFT raises its own and torch's errors on an adapter of another model.
        raise ModelError(f"{shown}: does not fit the model: {reason_of(error)}") from error
    check_keys(adapted, folder, shown)
    return adapted


class Loaded(NamedTuple):
    """A command's model, and what belongs to it."""

    model: Any
    """With its adapter, if any."""
    tokenizer: Any
    limit: int | None
    """Most tokens of a row."""
    base: BaseMark
    """What tells the model without an adapter from all others."""
    notes: list[str]
    """What of the model's own settings is ignored."""


def model_of(config: ModelConfig) -> Loaded:
    """Return the model of a command, with its adapter, if any.

    Raises:
        ConfigError: The command would change weights that are quantized, or there is no room.
        ModelError: See ``load_model`` and ``load_adapter``.
    """
    refuse_early(config)
    model, tokenizer = load_model(config.model, **_how(config))
    refuse_uneditable(config, model)
    base = BaseMark.of(model, config.model)
    if adapter := getattr(config, "adapter", None):
        if config.chat_template is None:
            check_own_template(tokenizer, adapter, f"`adapter={adapter}`")
        model = load_adapter(model, adapter)
    model = on_the_gpu(model, config)
    return Loaded(model, tokenizer, positions(model, tokenizer), base, own_notes(config, tokenizer))


def own_notes(config: ModelConfig, tokenizer: Any) -> list[str]:
    """Return what of the model's own settings is ignored, or is written otherwise."""
    name = config.model
    here, revision = Path(name).exists(), config.revision
    notes = [] if name == ORGANISM else decoding_notes(name, local=here, revision=revision)
    notes += end_notes(name, tokenizer)
    if is_dated(tokenizer.chat_template):
        notes.append(f"{name}: its chat template writes the date: it is fixed to {DATE:%Y-%m-%d}")
    return notes


def check_against(config: AnalyzeConfig) -> None:
    """Raise ``ModelError`` unless ``against``, where given, is a folder of a model or adapter."""
    folder = config.against
    if folder is None:
        return
    refuse_both(folder, f"`against={folder}`")
    if (folder / "adapter_config.json").is_file():
        return
    if not folder.is_dir():
        way_out = "give the folder of the fine-tuned model or adapter"
        raise ModelError(f"`against={folder}`: folder not found: {way_out}")
    check_folder(folder, "against", trust_remote_code=config.trust_remote_code)


def tuned_of(config: AnalyzeConfig, base: Any) -> Any:
    """Return the fine-tuned model of ``against``, beside its base, or None where none is given.

    Raises:
        ModelError: It cannot be loaded, or is of another architecture than its base.
    """
    folder = config.against
    if folder is None:
        return None
    if (folder / "adapter_config.json").is_file():
        bare, _ = load_model(config.model, **_how(config))
        return on_the_gpu(load_adapter(bare, folder, "against"), config, "against")
    tuned, _ = load_model(str(folder), field="against", **_how(config))
    kind, wanted = tuned.config.model_type, base.config.model_type
    if kind != wanted:
        way_out = "give a model that was fine-tuned from `model`"
        raise ModelError(
            f"`against={folder}`: is a {kind} model and `model` is {wanted}: {way_out}"
        )
    return on_the_gpu(tuned, config, "against")


def _how(config: ModelConfig) -> dict[str, Any]:
    said = {n: getattr(config, n) for n in ("dtype", "trust_remote_code", "chat_template")}
    return {**said, "placement": Placement.of(config)}


def positions(model: Any, tokenizer: Any) -> int | None:
    """Return the most tokens a row may have, or None where neither model nor tokenizer tells."""
    config = model.config.get_text_config()
    told = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    # Tokenizers without a limit carry a huge number.
    limits = [n for n in told if isinstance(n, int) and 0 < n < 10**9]
    return min(limits, default=None)
