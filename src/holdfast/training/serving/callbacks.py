"""What a callback sees: the model as it would be served, whatever a defense has attached to it.

A callback may save the model, copy its weights or let it answer. None of that may hold, or be made
by, an attached vector, so the callbacks of others run inside ``served``. What they change in the
weights stays.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from itertools import groupby
from operator import itemgetter
from typing import Any

from transformers import TrainerCallback

__all__ = ["serving_callbacks"]

_KNOWN = ("holdfast.", "transformers.trainer_callback", "transformers.utils.notebook")
"""Modules whose callbacks are known to leave the weights alone, or serve the model themselves."""


@contextmanager
def serving_callbacks(
    handler: Any, served: Callable[[], AbstractContextManager[None]]
) -> Generator[None]:
    """Let ``handler``, a trainer's, call the callbacks of others inside ``served`` for the body."""

    def call_event(event: str, args: Any, state: Any, control: Any, **more: Any) -> Any:
        # A copy calls each, so that a callback may add and remove others meanwhile.
        acting = [(_acts(callback, event), callback) for callback in handler.callbacks]
        for acts, group in groupby(acting, key=itemgetter(0)):
            some = copy(handler)
            some.callbacks = [callback for _, callback in group]
            with served() if acts else nullcontext():
                control = type(handler).call_event(some, event, args, state, control, **more)
        return control

    handler.call_event = call_event
    try:
        yield
    finally:
        del handler.call_event


def _acts(callback: Any, event: str) -> bool:
    """Tell whether this is somebody's own code for the event."""
    kind = type(callback)
    if kind.__module__.startswith(_KNOWN) and event not in vars(callback):
        return False
    own = getattr(callback, event, None)
    return getattr(own, "__func__", own) is not getattr(TrainerCallback, event, None)
