"""Weights set aside in a file without a name, so that a frozen base is not in memory twice.

What is put back is what was taken, bit for bit: nothing is computed. The file is mapped, so the
system reads of it what is asked for and may drop it again; it is gone with its process, killed or
not. Where there is no room for it, the copy lies in memory as before.
"""

import tempfile
from typing import IO

import numpy as np
import torch
from torch import Tensor

__all__ = ["SetAside"]


class SetAside:
    """Copies of tensors by name; one that still equals its tensor is not written again."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._kept: dict[str, Tensor] = {}

    def kept(self, name: str, weight: Tensor) -> Tensor:
        """Return a copy of ``weight`` on the CPU; to be read, never written."""
        here = self._kept.get(name)
        if here is None or not here.to(weight.device).equal(weight):
            here = self._kept[name] = self._copied(weight.detach().to("cpu").contiguous())
        return here

    def _copied(self, weight: Tensor) -> Tensor:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="holdfast-")  # noqa: SIM115
            place = self._file.seek(0, 2)
            # Written, not mapped for writing: a full disk is then an error and no signal.
            self._file.write(weight.view(torch.uint8).numpy().data)
            self._file.flush()
            mapped = np.memmap(self._file, np.uint8, "c", place, (weight.nbytes,))
        except OSError:
            return weight.clone()
        return torch.from_numpy(mapped).view(weight.dtype).view(weight.shape)
