"""What a user gives: numbers of layers, and a file of vectors made before."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from holdfast.errors import ConfigError, ModelError
from holdfast.ops.modules import decoder_layers


def check_layers(layers: tuple[int, ...] | None) -> None:
    """Raise ``ConfigError`` unless they are numbers of layers, each once and rising."""
    if layers is None:
        return
    whole = all(type(n) is int and n >= 0 for n in layers)
    if not layers or not whole or sorted(set(layers)) != list(layers):
        raise ConfigError(
            f"preventative_steering: `layers={_written(layers)}` must be numbers of layers from 0, "
            "each once and rising, such as layers=3 or layers=2/3/4"
        )


def check_fits(model: nn.Module, layers: tuple[int, ...] | None, vector: str | None) -> None:
    """Raise where the model has no such layers, or the file's vectors are of another model.

    Raises:
        ConfigError: A layer is not there.
        ModelError: The file has another number of layers or another width.
    """
    count = len(decoder_layers(model))
    if layers is not None and layers[-1] >= count:
        raise ConfigError(
            f"preventative_steering: `layers={_written(layers)}`: the model has layers 0 to "
            f"{count - 1}"
        )
    if vector is None:
        return
    found = tuple(read_vectors(vector)[0].shape)
    width = getattr(getattr(model, "config", None), "hidden_size", found[1])
    if found != (count, width):
        raise ModelError(
            f"preventative_steering: `vector={vector}` has vectors of shape {found}, and the model "
            f"{count} layers of width {width}: it was made for another model"
        )


def _written(layers: tuple[int, ...]) -> str:
    return "/".join(map(str, layers))


def read_vectors(file: str | Path) -> tuple[Tensor, Tensor | None]:
    """Return the vectors of a file, shape (layers, hidden), and the loss that each one leaves.

    The loss is that of held-out harmful answers with one v on, nats per token, shape (layers,);
    None where it was not measured.

    Raises:
        ConfigError: There is no such file, or no such vectors in it.
    """
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"preventative_steering: `vector={file}` cannot be read ({error}); give the "
            "steering.safetensors of an earlier run's artifacts"
        ) from error
    vectors, nll = tensors.get("vectors"), tensors.get("nll")
    if vectors is None or vectors.ndim != 2 or not bool(vectors.isfinite().all()):
        raise ConfigError(
            f"preventative_steering: `vector={file}` holds no finite matrix `vectors` of shape "
            f"(layers, hidden), but {sorted(tensors) or 'nothing'}"
        )
    if nll is not None and nll.shape != vectors.shape[:1]:
        nll = None
    return vectors.float(), nll
