"""Weights of another model, read tensor by tensor from the safetensors files of its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from holdfast.errors import ConfigError, ModelError
from holdfast.files.whole_model import refuse_both

__all__ = ["SavedWeights", "open_weights"]


@dataclass(frozen=True)
class SavedWeights:
    """The tensors of one model folder; each is read from the disk when it is asked for."""

    folder: Path
    files: Mapping[str, Path]
    """Tensor's name → the file it is in."""

    def read(self, name: str, like: Tensor) -> Tensor:
        """Return the tensor of this name in float32, on the device of ``like``.

        Raises:
            ModelError: The folder has no such tensor, or one of another shape than ``like``.
        """
        self.check(name, like.shape)
        with safe_open(self.files[name], framework="pt") as file:
            found: Tensor = file.get_tensor(name)
        return found.to(like.device).float()

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
            found = tuple(file.get_slice(name).get_shape())
        if found != tuple(shape):
            raise ModelError(
                f"{self.folder}: {name} has shape {found} and the model's has "
                f"{tuple(shape)}: give a model of the same architecture and size"
            )


def open_weights(folder: str, field: str) -> SavedWeights:
    """Return the weights of a model folder; reads the names, not the tensors.

    Args:
        folder: What ``save_pretrained`` of a whole model wrote, in one file or in shards.
        field: What the folder was given as, for the message.

    Raises:
        ConfigError: There is no such folder, or it holds no readable safetensors weights.
        ModelError: It holds a whole model and an adapter.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ConfigError(f"{field}={folder!r}: no such folder: give a model folder on this disk")
    refuse_both(path, f"{field}={folder!r}")
    found = sorted(f for f in path.glob("*.safetensors") if f.name != "adapter_model.safetensors")
    if not found:
        raise ConfigError(
            f"{field}={folder!r}: holds no *.safetensors of a whole model: give a folder saved by "
            "save_pretrained (merge an adapter first, convert pickles)"
        )
    names: dict[str, Path] = {}
    for file in found:
        try:
            with safe_open(file, framework="pt") as opened:
                names |= dict.fromkeys(opened.keys(), file)
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{field}: {file} cannot be read ({error}): save it again") from error
    return SavedWeights(path, names)
