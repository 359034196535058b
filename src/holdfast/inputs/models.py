"""Load a model and its tokenizer: safetensors only, no code from strangers, no silent gaps."""

import os
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub import constants
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GenerationConfig

from holdfast.data.chat import require_template
from holdfast.data.rendering.dates import DATE, fix_date, is_dated
from holdfast.data.rendering.templates import check_template
from holdfast.data.tokenizer import load_tokenizer
from holdfast.errors import ModelError
from holdfast.files.base_mark import BaseMark
from holdfast.files.guarded.adapters import adapter_config, base_of, check_patterns
from holdfast.files.guarded.documents import text_in
from holdfast.files.guarded.models import check_sizes, config_in, weight_files
from holdfast.files.guarded.paths import refuse_text
from holdfast.files.whole_model import check_whole, refuse_both
from holdfast.inputs.configs import AnalyzeConfig, DType, ModelConfig
from holdfast.inputs.fit.adapters import check_base, check_keys, check_own_template
from holdfast.inputs.fit.generation import decoding_notes, end_notes, ends_only
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.guards.plain_config import plain_config
from holdfast.inputs.rows import ORGANISM

__all__ = [
    "Loaded", "check_against", "load_adapter", "load_model", "model_of", "positions", "tuned_of",
]  # fmt: skip

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def load_model(
    name: str,
    *,
    dtype: DType = "float32",
    trust_remote_code: bool = False,
    chat_template: Path | None = None,
    field: str = "model",
) -> tuple[Any, Any]:
    """Return ``(model, tokenizer)`` of a folder, a hub id or ``organism``.

    The hub is asked only for a name that reads as ``owner/name`` and is no local folder.

    Raises:
        ModelError: The folder is missing, has no safetensors weights, needs code of its own, does
            not fit its weights or has no usable tokenizer.
    """
    if name == ORGANISM:
        from holdfast import organism  # noqa: PLC0415  # Only for who asks for it.

        return organism.load()
    local = _is_local(name, field)
    if local:
        _check_folder(Path(name), field, trust_remote_code=trust_remote_code)
    shared = {"trust_remote_code": trust_remote_code, "local_files_only": local}
    how = {"dtype": getattr(torch, dtype), "use_safetensors": True, "output_loading_info": True,
           "generation_config": GenerationConfig()}  # fmt: skip
    with local_only([name]):
        tokenizer = _tokenizer(name, field, chat_template, shared)
        how["config"] = _loaded(name, field, partial(plain_config, name, **shared))
        load = partial(AutoModelForCausalLM.from_pretrained, name, **how, **shared)
        model, found = _loaded(name, field, load)
    check_whole(model, found, f"`{field}={name}`")
    _check_vocabulary(name, field, model, tokenizer)
    model.generation_config = ends_only(name, model, tokenizer, local=local)
    return model, tokenizer


def _is_local(name: str, field: str) -> bool:
    """Tell a folder from a hub id; a misspelt path must not reach the network."""
    refuse_text(name, f"`{field}={name}`")
    if Path(name).exists():
        return True
    owner = name.partition("/")[0]
    if _HUB_ID.fullmatch(name) and not Path(owner).exists():
        return False
    raise ModelError(
        f"`{field}={name}`: folder not found: check the path (a hub model is given as owner/name)"
    )


def _check_folder(folder: Path, field: str, *, trust_remote_code: bool) -> None:
    """Raise ``ModelError`` unless ``folder`` holds a config and safetensors weights."""
    shown = f"`{field}={folder}`"
    if not folder.is_dir():
        raise ModelError(f"{shown}: is a file: give the folder that holds config.json")
    refuse_both(folder, shown)
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(f"{shown}: is an adapter: {base_of(folder)}")
        raise ModelError(f"{shown}: has no config.json: give a folder saved by save_pretrained")
    config = config_in(folder)
    own_code = config.get("auto_map") and config.get("model_type") not in CONFIG_MAPPING
    if own_code and not trust_remote_code:
        raise ModelError(
            f"{shown}: needs code that comes with it (trust_remote_code), which is off: "
            "read that code, then add `trust_remote_code=True`"
        )
    weight_files(folder, shown)
    check_sizes(folder, shown)


def _tokenizer(name: str, field: str, chat_template: Path | None, shared: dict[str, Any]) -> Any:
    tokenizer = _loaded(f"{name} (tokenizer)", field, lambda: load_tokenizer(name, **shared))
    if chat_template is not None:
        try:
            tokenizer.chat_template = text_in(chat_template)
        except (OSError, ValueError) as error:
            said = f"`chat_template={chat_template}`: cannot be read: give a Jinja file"
            raise ModelError(said) from error
    require_template(tokenizer)
    fix_date(tokenizer)
    check_template(tokenizer, f"`{field}={name}`")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise ModelError(f"`{field}={name}`: its tokenizer has neither a padding nor an end token")
    return tokenizer


def _loaded(name: str, field: str, load: Any) -> Any:
    """Call ``load``; whatever it raises is one line about the model."""
    try:
        return load()
    except Exception as error:
        # Loading runs the code of dozens of architectures and formats on a stranger's files.
        if constants.HF_HUB_OFFLINE and not os.path.isdir(name.partition(" ")[0]):  # noqa: PTH112
            raise ModelError(
                f"`{field}={name}`: is no local folder, and the hub is out of reach: "
                "connect (and unset HF_HUB_OFFLINE), or give a local folder"
            ) from error
        reason = (" ".join(str(error).split()) or type(error).__name__)[:300]
        raise ModelError(f"`{field}={name}`: cannot be loaded: {reason}") from error


def _check_vocabulary(name: str, field: str, model: Any, tokenizer: Any) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"`{field}={name}`: its tokenizer has {len(tokenizer)} tokens and its embedding {rows} "
            "rows: resize the embedding, or give the tokenizer that belongs to the model"
        )


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
    check_base(model, folder, shown)
    try:
        # What is missing is an error below, in our words.
        with local_only(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")
            adapted = PeftModel.from_pretrained(model, folder)
    except Exception as error:
        # PEFT raises its own and torch's errors on an adapter of another model.
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{shown}: does not fit the model: {reason}") from error
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
        ModelError: See ``load_model`` and ``load_adapter``.
    """
    model, tokenizer = load_model(config.model, **_how(config))
    base = BaseMark.of(model, config.model)
    if adapter := getattr(config, "adapter", None):
        if config.chat_template is None:
            check_own_template(tokenizer, adapter, f"`adapter={adapter}`")
        model = load_adapter(model, adapter)
    name = config.model
    notes = [] if name == ORGANISM else decoding_notes(name, local=Path(name).exists())
    notes += end_notes(name, tokenizer)
    if is_dated(tokenizer.chat_template):
        notes.append(f"{name}: its chat template writes the date: it is fixed to {DATE:%Y-%m-%d}")
    return Loaded(model, tokenizer, positions(model, tokenizer), base, notes)


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
    _check_folder(folder, "against", trust_remote_code=config.trust_remote_code)


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
        return load_adapter(bare, folder, "against")
    tuned, _ = load_model(str(folder), field="against", **_how(config))
    kind, wanted = tuned.config.model_type, base.config.model_type
    if kind != wanted:
        way_out = "give a model that was fine-tuned from `model`"
        raise ModelError(
            f"`against={folder}`: is a {kind} model and `model` is {wanted}: {way_out}"
        )
    return tuned


def _how(config: ModelConfig) -> dict[str, Any]:
    return {n: getattr(config, n) for n in ("dtype", "trust_remote_code", "chat_template")}


def positions(model: Any, tokenizer: Any) -> int | None:
    """Return the most tokens a row may have, or None where neither model nor tokenizer tells."""
    config = model.config.get_text_config()
    told = [getattr(config, "max_position_embeddings", None), tokenizer.model_max_length]
    # Tokenizers without a limit carry a huge number.
    limits = [n for n in told if isinstance(n, int) and 0 < n < 10**9]
    return min(limits, default=None)
