"""How far a stage is: the one callback of all that takes time."""

from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """Told of each piece of work that is done; the first call of a stage says what was before."""

    def __call__(self, stage: str, done: int, total: int, said: str = "", /) -> None:
        """Take (stage, done, in all), and what a log shows beside them, such as a loss."""
        ...
