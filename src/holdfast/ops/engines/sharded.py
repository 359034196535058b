"""Tensors of which each process holds a part, and whole ones that are laid out like them.

A sharded tensor is a ``torch.distributed.tensor.DTensor``. It is known by what it has, so that one
process need not import the package of distributed tensors.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["is_sharded", "laid_out", "whole", "whole_values"]


def is_sharded(tensor: Any) -> bool:
    """Tell whether each process holds a part of the tensor alone."""
    return hasattr(tensor, "placements") and hasattr(tensor, "device_mesh")


def whole(tensor: Tensor) -> Tensor:
    """Return the tensor with all its values, the same in every process; a plain one as it is.

    Sums and norms that were taken of parts are added up. Every process has to call it.
    """
    sharded: Any = tensor
    return sharded.full_tensor() if is_sharded(tensor) else tensor


def whole_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings with every sharded tensor in them whole; the rest as it is."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found[name] = whole_values(value)
        else:
            found[name] = whole(value) if is_sharded(value) else value
    return found


def laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the tensor where ``like`` lies: on its device, and sharded as it is.

    A whole tensor has to be the same in every process, and nothing of it is sent: each keeps its
    own part. A sharded one becomes whole where ``like`` is.
    """
    if is_sharded(like) == is_sharded(tensor):
        return tensor.to(like.device)
    if not is_sharded(like):
        return whole(tensor).to(like.device)
    from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415

    there: Any = like
    return distribute_tensor(
        tensor.to(like.device), there.device_mesh, there.placements, src_data_rank=None
    )
