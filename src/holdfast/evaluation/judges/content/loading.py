"""A judge's model: safetensors of a folder, checked as any model's, or fetched from its hub id.

It is loaded for a call and given back after it: the model that is judged needs the memory.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import snapshot_download
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForSequenceClassification,
    GenerationConfig,
)

from holdfast.data.tokenizer import load_tokenizer
from holdfast.errors import ModelError, reason_of
from holdfast.files.guarded.models import check_sizes, config_in, weight_files
from holdfast.files.guarded.paths import refuse_text
from holdfast.files.guarded.plain_config import plain_config
from holdfast.files.whole_model import check_whole, refuse_both

__all__ = ["Head", "located", "opened", "tokenizer_in"]

Head = Literal["words", "words beside images", "classes"]
"""What a judge's model gives: next words, also of a model that sees images, or logits of classes.
"""
_CLASSES: dict[Head, Any] = {
    "words": AutoModelForCausalLM,
    "words beside images": AutoModelForImageTextToText,
    "classes": AutoModelForSequenceClassification,
}
_WANTED = ("*.json", "*.safetensors", "*.jinja", "tokenizer.model")


def located(model: str, revision: str = "", field: str = "model") -> Path:
    """Return the folder of a judge's model or adapter; a hub id is fetched, without any pickle.

    Raises:
        ModelError: There is no such folder, or the hub does not give it.
    """
    shown = f"{field}={model}"
    refuse_text(model, shown)
    if Path(model).is_dir():
        return Path(model)
    owner, slash, name = model.partition("/")
    if not slash or not name or "/" in name or Path(owner).exists():
        raise ModelError(
            f"{shown}: folder not found: check the path (a hub model is given as owner/name)"
        )
    try:
        return Path(snapshot_download(model, revision=revision or None, allow_patterns=[*_WANTED]))
    except Exception as error:
        # The hub's client raises its own, requests' and the system's errors.
        raise ModelError(
            f"{shown}: is no local folder and cannot be fetched from the hub ({reason_of(error)}): "
            "connect, or accept its terms and set HF_TOKEN where it is gated, or give a local "
            "folder"
        ) from error


def tokenizer_in(folder: Path) -> Any:
    """Return the tokenizer of a judge's folder, once its weights and config are checked.

    Raises:
        ModelError: The folder holds no whole model of safetensors, or no tokenizer.
    """
    shown = f"model={folder}"
    if not (folder / "config.json").is_file():
        raise ModelError(f"{shown}: has no config.json: give the folder of the judge's model")
    refuse_both(folder, shown)
    config_in(folder)
    weight_files(folder, shown)
    check_sizes(folder, shown)
    found = _loaded(shown, lambda: load_tokenizer(folder, local_files_only=True))
    if found.pad_token_id is None:
        found.pad_token = found.eos_token
    if found.pad_token_id is None:
        raise ModelError(f"{shown}: its tokenizer has neither a padding nor an end token")
    return found


@contextmanager
def opened(folder: Path, head: Head, dtype: str, adapter: Path | None = None) -> Generator[Any]:
    """Yield the model of a folder, and free it after.

    Raises:
        ModelError: It cannot be loaded, or its weights are not all of it.
    """
    shown = f"model={folder}"
    shared = {"local_files_only": True, "trust_remote_code": False}
    config = _loaded(shown, lambda: plain_config(str(folder), **shared))
    how = {"config": config, "dtype": getattr(torch, dtype), "use_safetensors": True,
           "output_loading_info": True, "generation_config": GenerationConfig(),
           "ignore_mismatched_sizes": True}  # fmt: skip  # ``check_whole`` names them.
    if head == "classes":
        del how["generation_config"]
    model, found = _loaded(shown, partial(_CLASSES[head].from_pretrained, folder, **how, **shared))
    check_whole(model, found, shown)
    if adapter is not None:
        model = _adapted(model, adapter)
    try:
        yield model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    finally:
        del model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _adapted(model: Any, folder: Path) -> Any:
    from peft import PeftModel  # noqa: PLC0415  # Slow to import, and few judges need it.

    shown = f"adapter={folder}"
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(f"{shown}: has no adapter_model.safetensors: give a LoRA adapter's folder")
    return _loaded(shown, lambda: PeftModel.from_pretrained(model, folder))


def _loaded(shown: str, load: Any) -> Any:
    """Call ``load``; whatever it raises is one line about the judge's model."""
    try:
        return load()
    except Exception as error:
        # Loading runs the code of dozens of architectures and formats on a stranger's files.
        raise ModelError(f"{shown}: cannot be loaded: {reason_of(error)}") from error
