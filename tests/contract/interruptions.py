"""Runs that break at a chosen place, as an error or as Ctrl-C."""

from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Any

from holdfast.defense import Defense


class PlantedError(Exception):
    """The planted error."""


@contextmanager
def broken_hook(defense: Defense, hook: str) -> Generator[None]:
    """Let the hook do its work and then raise; a context raises right after it was entered."""
    own = getattr(defense, hook)

    def call(*args: Any, **kwargs: Any) -> Any:
        own(*args, **kwargs)
        raise PlantedError(hook)

    @contextmanager
    def enter(*args: Any, **kwargs: Any) -> Generator[None]:
        with own(*args, **kwargs):
            raise PlantedError(hook)
            yield

    vars(defense)[hook] = enter if hook in ("attached", "served") else call
    try:
        yield
    finally:
        del vars(defense)[hook]


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
