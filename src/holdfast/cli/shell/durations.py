"""How long something takes, in words."""

import math

__all__ = ["passed", "spelled"]


def spelled(seconds: float) -> str:
    """Return seconds, minutes or hours, rounded up: ``40 s``, ``8 min``, ``4.2 h``."""
    minutes = math.ceil(seconds / 60)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def passed(seconds: float) -> str:
    """Return how long something has taken, rounded down, from 1 s: ``62 s``, ``2 min``."""
    if seconds < 120:
        return f"{max(1, math.floor(seconds))} s"
    minutes = math.floor(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{math.floor(minutes / 6) / 10:.1f} h"
