"""Whether the folder of an aligned model has all that is trained."""

from torch import nn

from holdfast.errors import ModelError
from holdfast.files.weights import SavedWeights
from holdfast.ops.modules import plain_name, trainable
from holdfast.ops.roles.names import kind_left_out, place_of

__all__ = ["check_all_there"]


def check_all_there(model: nn.Module, saved: SavedWeights, name: str, instead: str) -> None:
    """Look for every trained tensor in a folder, without reading the values.

    Args:
        model: The model that is trained.
        saved: The folder of the aligned one.
        name: The method's name.
        instead: What to do without the folder, for a message.

    Raises:
        ModelError: A tensor is not there or of another shape, or the folder holds experts one by
            one and the model has them stacked.
    """
    for tensor, p in trainable(model).items():
        experts = kind_left_out(place_of(tensor)[1]) == "routed experts"
        if experts and plain_name(tensor) not in saved.files:
            raise ModelError(
                f"{name}: {tensor} is stacked of experts that {saved.folder} holds one by one, so "
                f"the aligned value cannot be read there: leave out aligned= {instead}, tune a "
                "LoRA adapter, or freeze the experts"
            )
        saved.check(plain_name(tensor), p.shape)
