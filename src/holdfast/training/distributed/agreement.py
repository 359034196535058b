"""That processes which each hold the whole model still hold the same one.

Every process makes each decision by itself, from equal weights, rows and seeds. Where that failed
(a device that rounds differently, other data on another machine), they would train different
models, and one of them would be saved. So they compare a hash wherever much has been decided.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from holdfast.artifact import split_state
from holdfast.defense import Defense
from holdfast.errors import RunError
from holdfast.ops.engine import Engine

__all__ = ["digest_of", "gathered", "refuse_apart"]


def refuse_apart(
    engine: Engine, defenses: Iterable[Defense], when: str, *, figures: bool = False
) -> None:
    """Raise ``RunError`` in every process where their trained weights or learned states differ.

    Shards are left out: they differ by their nature. One process is never apart.

    Args:
        engine: The run's; every process calls this.
        defenses: Whose learned fields are compared.
        when: What was just done, for the message.
        figures: Compare also what is no tensor; in the steps that includes figures of the rows at
            hand, which each process has its own of.
    """
    if engine.world == 1:
        return
    states = {defense.card.name: defense.state() for defense in defenses}
    parts = {
        "the weights": _digest(engine.parameters()),
        **{n: digest_of(s, figures=figures) for n, s in states.items()},
    }
    for what, own in parts.items():
        every = gathered(own, next(engine.model.parameters()).device)
        apart = [rank for rank, digest in enumerate(every) if digest != every[0]]
        if apart:
            of = what if what == "the weights" else f"what {what} has learned"
            raise RunError(
                f"{of} of process {apart[0]} is not that of process 0 after {when}: the processes "
                "would train different models; give each the same data and options, and the same "
                "kind of device"
            )


def _digest(tensors: Mapping[str, Tensor]) -> bytes:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            bits = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(bits.numpy().data)
    return digest.digest()


def digest_of(state: Mapping[str, Any], *, figures: bool) -> bytes:
    """Return a hash of a learned state's tensors, and with ``figures`` of all the rest."""
    tensors, rest = split_state(state)
    text = json.dumps(rest, sort_keys=True, default=str).encode() if figures else b""
    return hashlib.sha256(_digest(tensors) + text).digest()


def gathered(digest: bytes, device: torch.device) -> list[bytes]:
    """Return what every process gives, by its number; all of one length."""
    own = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(device)
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    return [bytes(each.tolist()) for each in every]
