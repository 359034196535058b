"""A training loop that begins again inside ``train``: ``auto_find_batch_size`` after a full memory.

The Trainer calls its loop anew with a smaller batch and with whatever the first try has left: moved
weights, an optimizer's moments, half a step. With defenses there would also be what they attached
and learned. So the second try begins where the first one did.
"""

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from holdfast.defense import Defense
from holdfast.ops.gradients import Tensors
from holdfast.ops.modules import trainable
from holdfast.ops.weights import put

__all__ = ["Start"]


@dataclass(frozen=True)
class Start:
    """What a loop begins with."""

    weights: Tensors
    """The trained tensors, on the CPU: it is the accelerator's memory that is short."""
    learned: Sequence[dict[str, Any]]
    """The state of each defense."""
    made: dict[str, tuple[Any, Any]]
    """The trainer's optimizer and scheduler, None where it makes them, each with its state."""
    draws: tuple[Any, ...]
    """The global random states."""

    @classmethod
    def of(cls, trainer: Any, model: nn.Module, defenses: Sequence[Defense]) -> "Start":
        """Remember how ``trainer`` and ``defenses`` are now, before anything is attached."""
        weights = {n: p.detach().to("cpu", copy=True) for n, p in trainable(model).items()}
        names = ("optimizer", "lr_scheduler")
        made = {
            n: (m, m and deepcopy(m.state_dict())) for n in names for m in [getattr(trainer, n)]
        }
        return cls(weights, [deepcopy(d.state()) for d in defenses], made, _draws())

    def again(self, trainer: Any, model: nn.Module, defenses: Sequence[Defense]) -> None:
        """Put everything back; whatever was attached must be off."""
        put(trainable(model), self.weights)
        for defense, state in zip(defenses, self.learned, strict=True):
            defense.load(deepcopy(state))
        for name, (made, state) in self.made.items():
            setattr(trainer, name, made)
            if made is not None:
                made.load_state_dict(deepcopy(state))
        _draw_from(self.draws)


def _draws() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda  # noqa: NPY002


def _draw_from(states: tuple[Any, ...]) -> None:
    python, numpy, cpu, cuda = states
    random.setstate(python)
    np.random.set_state(numpy)  # noqa: NPY002
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
