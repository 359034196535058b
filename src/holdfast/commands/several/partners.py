"""The processes of a run to each other: each holds the whole model, and none waits for ever."""

from collections.abc import Collection
from typing import Any

import torch

from holdfast.commands.several.kinds import WHOLE
from holdfast.errors import ConfigError, RunError
from holdfast.training.compat import is_distributed, wait_at_most

__all__ = ["hung", "is_timeout", "refuse_uneven", "take_part"]

_OVER = ("timed out waiting", "socket timeout", "timeout caused")
"""What gloo says where a partner does not come."""


def take_part(trainer: Any) -> None:
    """Let the trainer be one of several: with a whole model, and patient for ``ddp_timeout``.

    The processes have found each other before the options were read, so that they can agree on
    what is wrong with them; a trainer's own ``ddp_timeout`` comes too late then, without a word.

    Raises:
        ConfigError: The first process does not hold the whole model that it writes.
    """
    kind = is_distributed(trainer)
    if kind is not None and kind not in WHOLE:
        raise ConfigError(
            f"this command writes a whole model and was started under {kind}, which spreads it: "
            "start it with torchrun or distributed_type MULTI_GPU, or use SecureSFTTrainer in a "
            "script of your own"
        )
    if kind is not None:
        wait_at_most(trainer.args.ddp_timeout)


def refuse_uneven(trainer: Any, loader: Any) -> None:
    """Raise where a process has more batches than another, for which it would wait in vain.

    Raises:
        ConfigError: So it is, as with ``even_batches`` off and rows that do not come out even.
    """
    own = torch.tensor([len(loader)], device=trainer.accelerator.device)
    every = trainer.accelerator.gather(own).tolist()
    if len({*every}) > 1:
        raise ConfigError(
            f"the processes have {', '.join(map(str, every))} batches of the rows, and who has "
            "more would wait for the others: leave even_batches=false out of accelerator_config, "
            "or give rows and a `batch_size` that come out even"
        )


def is_timeout(error: BaseException) -> bool:
    """Tell whether a common operation was given up because a partner did not come to it."""
    return any(words in str(error).lower() for words in _OVER)


def hung(numbers: Collection[int]) -> RunError:
    """Return what is said of processes that live and do not come."""
    who = ", ".join(map(str, sorted(numbers)))
    those, do, they = ("process", "does", "it hangs or is") if len(numbers) == 1 else (
        "processes", "do", "they hang or are"
    )  # fmt: skip
    return RunError(
        f"{those} {who} {do} not come to where the others wait: {they} slower than `ddp_timeout` "
        "allows (seconds that one process waits for another; 1800 unless it is set)"
    )
