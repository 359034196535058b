"""Means over processes: many tensors in few messages, and the same bits in every process."""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["mean_over", "summed_over"]

_BYTES = 25 * 2**20
"""Most bytes of a message, as DistributedDataParallel's buckets have."""


@torch.no_grad()
def mean_over(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in place.

    The processes must give as many tensors of the same shapes and types, in the same order. Equal
    tensors keep their bits where there are two, four, … processes; otherwise they may be rounded
    once, to the same bits everywhere.
    """
    world = dist.get_world_size()
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.all_reduce(flat)
        flat /= world
        for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
            tensor.copy_(part.view_as(tensor))


def summed_over(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes."""
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def _buckets(tensors: Iterable[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Yield tensors that go into one message: neighbors of one type and device."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        other = bucket and (tensor.dtype, tensor.device) != (bucket[0].dtype, bucket[0].device)
        if bucket and (other or size + tensor.nbytes > _BYTES):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket
