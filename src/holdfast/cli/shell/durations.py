"""How long something takes, in words."""

import math

__all__ = ["spelled"]


def spelled(seconds: float) -> str:
    """Return seconds, minutes or hours, rounded up: ``40 s``, ``8 min``, ``4.2 h``."""
    minutes = math.ceil(seconds / 60)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
