"""A model as its config describes it, built without weights: no memory, whatever its size."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, GenerationConfig

from holdfast.commands.inspection.stand_in import COUNTS, let_stand_in
from holdfast.errors import ModelError
from holdfast.files.guarded.models import check_sizes, shapes_in, weight_files
from holdfast.files.guarded.plain_config import plain_config
from holdfast.files.whole_model import check_whole
from holdfast.inputs.configs import InspectConfig
from holdfast.inputs.fit.generation import ends_only
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.loading.names import check_folder, is_local, loaded
from holdfast.inputs.loading.placement import Placement
from holdfast.inputs.loading.tokenizers import bare_tokenizer
from holdfast.inputs.rows import ORGANISM

__all__ = ["Subject", "subject_of"]

MOST_LAYERS = 1000
"""Largest number of layers of a config without weights: building ten million would take hours."""


@dataclass(frozen=True)
class Subject:
    """What is looked at."""

    name: str
    model: Any
    """Of the right classes and shapes; its weights are on torch's device ``meta`` and hold none."""
    tokenizer: Any
    weights: bool | None
    """The folder holds weights that fit the config; None where that is not known (a hub id)."""
    card: Path | None
    """The model card, where one lies there."""
    notes: tuple[str, ...] = ()


def subject_of(config: InspectConfig) -> Subject:
    """Return the model of a folder, a hub id or ``organism``; no weights are read or downloaded.

    Raises:
        ConfigError: A revision of what has none.
        ModelError: The folder is missing, is no model, or its tokenizer cannot be read.
    """
    name = config.model
    placement = Placement(revision=config.revision)
    local = name == ORGANISM or is_local(name, "model")
    placement.check_name(name, "model", local=local, chat_template=config.chat_template)
    if name == ORGANISM:
        from holdfast import organism  # noqa: PLC0415  # Only for who asks for it.

        return Subject(name, *organism.load(), weights=True, card=None)
    folder = Path(name)
    if local:
        check_folder(folder, "model", trust_remote_code=config.trust_remote_code, weights=False)
    shared = {"trust_remote_code": config.trust_remote_code, "local_files_only": local,
              **placement.hub()}  # fmt: skip
    with local_only([name]):
        found = loaded(name, "model", lambda: plain_config(name, **shared), placement.revision)
        _check_layers(found, f"`model={name}`")
        model = loaded(name, "model", lambda: _built(found, config))
        let_stand_in(model, lambda small: _built(small, config, "cpu"))
        tokenizer = bare_tokenizer(name, "model", config.chat_template, **shared)
        model.generation_config = ends_only(
            name, model, tokenizer, local=local, revision=placement.revision
        )
        whole, notes = _weights(model, found, folder) if local else (None, ())
        card = folder / "README.md" if local else _fetched(name, placement.revision)
    return Subject(name, model, tokenizer, whole, card, notes)


def _built(found: Any, config: InspectConfig, device: str = "meta") -> Any:
    with torch.device(device):
        return AutoModelForCausalLM.from_config(
            found, trust_remote_code=config.trust_remote_code
        ).eval()


def _check_layers(config: Any, shown: str) -> None:
    for name in COUNTS:
        count = getattr(config.get_text_config(), name, None)
        if isinstance(count, int) and count > MOST_LAYERS:
            raise ModelError(
                f"{shown}: config.json has {name}={count}: expected at most {MOST_LAYERS}"
            )


def _weights(model: Any, config: Any, folder: Path) -> tuple[bool, tuple[str, ...]]:
    try:
        files = weight_files(folder, f"`model={folder}`")
        check_sizes(folder, f"`model={folder}`")
        _check_places(model, config, folder, files)
    except ModelError as error:
        return False, (f"it cannot be loaded: {error}",)
    return True, ()


def _check_places(model: Any, config: Any, folder: Path, files: Sequence[Path]) -> None:
    """Raise ``ModelError`` unless the files hold just the tensors of the model.

    transformers gets the names and shapes of the files' heads, and tells what it finds for them.
    """
    if getattr(config, "quantization_config", None) is not None:
        return  # Their names and shapes are those of a package that may not be here.
    shown, heads = f"`model={folder}`", dict[str, torch.Tensor]()
    for file in files:
        heads |= _head_of(file, shown)
    how = {"config": deepcopy(config), "state_dict": heads, "device_map": {"": "meta"},
           "generation_config": GenerationConfig(), "output_loading_info": True,
           "ignore_mismatched_sizes": True}  # fmt: skip
    tried, found = loaded(str(folder), "model", lambda: type(model).from_pretrained(None, **how))
    check_whole(tried, found, shown)


def _head_of(file: Path, shown: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a file without their values."""
    try:
        shapes = shapes_in(file)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{shown}: {file.name} cannot be read ({error}): save it again") from error
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def _fetched(name: str, revision: str | None) -> Path | None:
    from transformers.utils.hub import cached_file  # noqa: PLC0415  # Only for hub ids.

    try:
        found = cached_file(
            name, "README.md", revision=revision, _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )  # fmt: skip
    except OSError:
        return None
    return None if found is None else Path(found)
