"""What a model's name stands for, and what its folder must hold before anything of it is read."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import constants
from transformers import CONFIG_MAPPING

from holdfast.errors import ModelError, reason_of
from holdfast.files.guarded.adapters import base_of
from holdfast.files.guarded.models import check_loaded_by, check_sizes, config_in
from holdfast.files.guarded.paths import refuse_text
from holdfast.files.whole_model import refuse_both
from holdfast.inputs.loading.hub import hub_fault

__all__ = ["check_folder", "is_local", "loaded"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
T = TypeVar("T")


def is_local(name: str, field: str) -> bool:
    """Tell a folder from a hub id; a misspelt path must not reach the network.

    Raises:
        ModelError: It is neither.
    """
    refuse_text(name, f"`{field}={name}`")
    if Path(name).exists():
        return True
    owner = name.partition("/")[0]
    if _HUB_ID.fullmatch(name) and not Path(owner).exists():
        return False
    raise ModelError(
        f"`{field}={name}`: folder not found: check the path (a hub model is given as owner/name)"
    )


def check_folder(
    folder: Path, field: str, *, trust_remote_code: bool, weights: bool = True
) -> None:
    """Raise ``ModelError`` unless ``folder`` holds a config and safetensors weights.

    Args:
        folder: The folder of a whole model.
        field: What it was given as.
        trust_remote_code: Code that comes with it may run.
        weights: Look for the weights too; a config alone tells what a model would be.
    """
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
    if weights:
        check_loaded_by(folder, shown)
        check_sizes(folder, shown)


def loaded(name: str, field: str, load: Callable[[], T], revision: str | None = None) -> T:
    """Call ``load``; whatever it raises is one line about the model.

    Raises:
        ModelError: ``load`` raised.
    """
    try:
        return load()
    except Exception as error:
        # Loading runs the code of dozens of architectures and formats on a stranger's files.
        shown, bare = f"`{field}={name}`", name.partition(" ")[0]
        if os.path.isdir(bare):  # noqa: PTH112  # ``Path`` raises on a long name.
            raise ModelError(f"{shown}: cannot be loaded: {reason_of(error)}") from error
        if constants.HF_HUB_OFFLINE:
            raise ModelError(
                f"{shown}: is no local folder, and the hub is out of reach: "
                "connect (and unset HF_HUB_OFFLINE), or give a local folder"
            ) from error
        if (fault := hub_fault(error, bare, revision)) is not None:
            raise ModelError(f"{shown}: {fault}") from error
        raise ModelError(f"{shown}: cannot be loaded: {reason_of(error)}") from error
