"""Weights of another model, read tensor by tensor from the safetensors files of its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

from holdfast.errors import ConfigError, ModelError
from holdfast.files.guarded.models import INDEX, WHOLE, weight_files
from holdfast.files.guarded.paths import refuse_text
from holdfast.files.whole_model import refuse_both

__all__ = ["SavedWeights", "open_weights"]


@dataclass(frozen=True)
class SavedWeights:
    """The tensors of one model folder; each is read from the disk when it is asked for."""

    folder: Path
    files: Mapping[str, Path]
    """Tensor's name → the file it is in."""
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """Tensor's name in the model → its name in the file, where that is another."""

    def read(self, name: str, like: Tensor) -> Tensor:
        """Return the tensor of this name in float32, on the device of ``like``.

        Raises:
            ModelError: The folder has no such tensor, one of another shape than ``like``, or one
                that holds no numbers.
        """
        self.check(name, like.shape)
        with safe_open(self.files[name], framework="pt") as file:
            found: Tensor = file.get_tensor(self.keys.get(name, name))
        value = found.to(like.device).float()
        if not bool(torch.isfinite(value).all()):
            raise ModelError(
                f"{self.folder}: {name} holds entries that are no numbers (NaN or infinite): give "
                "a model that is whole"
            )
        return value

    def check(self, name: str, shape: Sequence[int]) -> None:
        """Look, without reading the values, whether there is such a tensor of this shape.

        Raises:
            ModelError: The folder has no such tensor, or one of another shape.
        """
        if name not in self.files:
            raise ModelError(
                f"{self.folder}: has no tensor {name!r}: give a model of the same architecture, "
                "saved by save_pretrained without an adapter"
            )
        with safe_open(self.files[name], framework="pt") as file:
            found = tuple(file.get_slice(self.keys.get(name, name)).get_shape())
        if found != tuple(shape):
            raise ModelError(
                f"{self.folder}: {name} has shape {found} and the model's has "
                f"{tuple(shape)}: give a model of the same architecture and size"
            )


def open_weights(folder: str, given: str, model: nn.Module | None = None) -> SavedWeights:
    """Return the weights of a model folder; reads the names, not the tensors.

    Args:
        folder: What ``save_pretrained`` of a whole model wrote, in one file or in shards.
        given: What the folder was given as, for the message.
        model: One by whose names the tensors are asked for: some types have others in files.

    Raises:
        ConfigError: There is no such folder, or it holds no readable safetensors weights.
        ModelError: It holds a whole model and an adapter.
    """
    refuse_text(folder, f"{given}={folder!r}")  # Such as the text of a model itself.
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"{given}={folder!r}: no such folder: give a model folder on this disk")
    refuse_both(path, f"{given}={folder!r}")
    found = _files(path)
    if not found:
        raise ConfigError(
            f"{given}={folder!r}: holds no *.safetensors of a whole model: give a folder saved by "
            "save_pretrained (merge an adapter first, convert pickles)"
        )
    names: dict[str, Path] = {}
    for file in found:
        try:
            with safe_open(file, framework="pt") as opened:
                names |= dict.fromkeys(opened.keys(), file)
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{given}: {file} cannot be read ({error}): save it again") from error
    keys = _keys(names, model) if model is not None else {}
    return SavedWeights(path, names | {own: names[key] for own, key in keys.items()}, keys)


def _files(folder: Path) -> list[Path]:
    """Return what transformers itself would read: old shards may still lie beside it.

    A folder that is none of a model's, or has neither one whole file nor an index, has its tensors
    in files of any name.
    """
    named = (folder / WHOLE).is_file() or (folder / INDEX).is_file()
    if named and (folder / "config.json").is_file():
        return weight_files(folder, str(folder))
    return sorted(f for f in folder.glob("*.safetensors") if f.name != "adapter_model.safetensors")


def _keys(names: Mapping[str, Path], model: nn.Module) -> dict[str, str]:
    """Return the model's own names of tensors that transformers saves under another one."""
    bare: Any = getattr(model, "get_base_model", lambda: model)()
    own = [n.replace(".base_layer.", ".") for n, _ in bare.named_parameters() if "lora_" not in n]
    found: dict[str, str] = {}
    for name in own:
        # A tensor that is saved in several pieces (a stack, a fused one) has no name to give.
        if name not in names and ".experts." not in name and hasattr(bare, "base_model_prefix"):
            keys = list(revert_weight_conversion(bare, {name: torch.empty(0, device="meta")}))
            found |= {name: keys[0]} if len(keys) == 1 and keys[0] in names else {}
    return found
