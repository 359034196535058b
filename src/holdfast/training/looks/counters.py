"""Passes that the user's trainer does not count: its figures are those of the user's own passes."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from copy import deepcopy
from functools import wraps
from typing import Any

__all__ = ["counted_once", "uncounted"]

_COUNTERS = ("_metrics", "_stored_metrics", "_total_train_tokens", "current_flos")
"""Where transformers and TRL add up figures inside a loss or a training step."""


@contextmanager
def uncounted(trainer: Any) -> Generator[None]:
    """Run the body, and put the trainer's counters back as they were."""
    own = vars(trainer)
    kept = {name: own[name] for name in _COUNTERS if name in own}
    own.update({name: deepcopy(value) for name, value in kept.items()})
    try:
        yield
    finally:
        own.update(kept)


def counted_once(trainer: Any, plain: Callable[..., Any]) -> Callable[..., Any]:
    """Return the user's training step of one micro-batch; only its first call is counted.

    A defense may run the pass again on the same rows, and tokens are learned from once.
    """
    calls = 0

    @wraps(plain)  # What it takes is looked at by its signature.
    def step(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            return plain(*args, **kwargs)
        with uncounted(trainer):
            return plain(*args, **kwargs)

    return step
