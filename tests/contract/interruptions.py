"""Runs that break off in a chosen forward pass, as by Ctrl-C."""

from itertools import count
from typing import Any


def stopped_at_forward(trainer: Any, number: int | None) -> int:
    """Train with Ctrl-C pressed in the forward pass of this number; return how many began.

    The passes of the defense count as well as the user's. None: press nothing.
    """
    passes = count()
    seen = [0]

    def press(*_: Any) -> None:
        seen[0] = next(passes) + 1
        if number is not None and seen[0] > number:
            raise KeyboardInterrupt

    handle = trainer.model.register_forward_pre_hook(press)
    try:
        trainer.train()
    except KeyboardInterrupt:
        pass
    else:
        assert number is None, f"there is no forward pass {number}"
    finally:
        handle.remove()
    return seen[0]
