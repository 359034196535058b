"""Whether an adapter is this model's: every key has its place, and the base is the one it knows.

PEFT loads what matches and leaves the rest as it was drawn: an adapter whose names match nothing
answers like its base, without an error (peft#2118, vllm#34186).
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from peft import get_peft_model_state_dict

from holdfast.data.rendering.dates import with_fixed_date
from holdfast.errors import ModelError
from holdfast.files.base_mark import read_mark
from holdfast.files.guarded.adapters import WEIGHTS
from holdfast.files.guarded.documents import json_in
from holdfast.files.guarded.models import shapes_in
from holdfast.inputs.configs import ModelConfig

__all__ = ["base_notes", "check_keys", "check_own_template", "check_rows"]

PREFIX = "base_model.model."
_EMBEDDINGS = tuple(
    f"{layer}{inner}.weight"
    for layer in ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")
    for inner in ("", ".base_layer")
)
"""Whole layers that PEFT writes beside an adapter where the vocabulary was enlarged."""


def check_keys(model: Any, folder: Path, shown: str) -> None:
    """Raise ``ModelError`` unless the file holds just the tensors of the adapter on ``model``."""
    sizes = shapes_in(folder / WEIGHTS)
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    given, wanted = set(sizes), set(own)
    misfits = sorted(name for name in given & wanted if sizes[name] != tuple(own[name].shape))
    whole = {f"{PREFIX}{name}" for name in model.get_base_model().state_dict()}
    beside = {name for name in given - wanted if name.endswith(_EMBEDDINGS) and name in whole}
    missing, unknown = sorted(wanted - given), sorted(given - wanted - beside)
    if all(getattr(each, "lora_alpha", 1) == 0 for each in model.peft_config.values()):
        raise ModelError(f"{shown}: has lora_alpha=0, so that it does nothing: save it again")
    faults = [
        *_counted(unknown, "of its tensors have no place in the model"),
        *_counted(missing, "that its adapter_config.json promises are not in it"),
        *_counted(misfits, "have another size than its adapter_config.json tells for this model"),
    ]
    if faults:
        raise ModelError(
            f"{shown}: does not fit the model: {'; '.join(faults)}: give the model that it was "
            "trained on, or save the adapter again with PEFT's save_pretrained"
        )


def check_rows(model: Any, folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where the adapter brings an embedding of another size than the model's.

    PEFT writes whole embeddings where the vocabulary was enlarged before tuning.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    shapes = shapes_in(folder / WEIGHTS)
    sizes = {shape[0] for name, shape in shapes.items() if name.endswith(_EMBEDDINGS)}
    if sizes - {rows}:
        raise ModelError(
            f"{shown}: was trained with a vocabulary of {max(sizes - {rows})} tokens and the model "
            f"has {rows} rows: resize the model's embedding in Python "
            "(resize_token_embeddings), merge it into that, and give the merged folder as the model"
        )


def _counted(names: Collection[str], said: str) -> list[str]:
    shown = ", ".join(list(names)[:2])
    return [f"{len(names)} {said} (such as {shown})"] if names else []


def check_own_template(tokenizer: Any, folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where the adapter was saved with another chat template than the model's.

    Such an adapter would be measured on prompts that it was not tuned on.
    """
    own = _template_in(folder)
    if own is not None and with_fixed_date(own) != tokenizer.chat_template:
        raise ModelError(
            f"{shown}: was saved with another chat template than the model's: give its own with "
            "`chat_template=FILE.jinja`"
        )


def _template_in(folder: Path) -> str | None:
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, ValueError):
        pass
    try:
        config = json_in(folder / "tokenizer_config.json")
        found = config.get("chat_template")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def base_notes(config: ModelConfig) -> list[str]:
    """Return a warning for each adapter of other programs that names another base than the model.

    An adapter with our mark needs none: its weights are compared when it is loaded.
    """
    given = {name: getattr(config, name, None) for name in ("adapter", "against")}
    return [
        f"`{field}={folder}`: was trained on {named}, and `model` is {config.model}: if these are "
        "other weights, what is measured is neither model"
        for field, folder in given.items()
        if folder is not None
        and (named := _named_base(folder)) is not None
        and not _same(named, config.model)
        and read_mark(folder) is None
    ]


def _named_base(folder: Path) -> str | None:
    try:
        config = json_in(folder / "adapter_config.json")
        named = config.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # Whoever loads it says what is wrong.
    return named if isinstance(named, str) and named else None


def _same(named: str, model: str) -> bool:
    """Tell whether two names can be the same model: equal, or one folder by two paths."""
    if named == model:
        return True
    one, other = Path(named), Path(model)
    if one.exists() and other.exists():
        return one.resolve() == other.resolve()
    # A folder that was moved, or a copy of a hub model, keeps its last name.
    return one.name.casefold() == other.name.casefold()
