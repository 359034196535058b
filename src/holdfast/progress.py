"""How far a stage is: the one callback of all that takes time."""

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, in all); the first call of a stage says what was done before."""
