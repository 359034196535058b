"""How far a stage is: the one callback of all that takes time."""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, TypeVar

__all__ = ["Bars", "Progress", "counted", "silent", "ticking"]

T = TypeVar("T")


class Progress(Protocol):
    """Told of each piece of work that is done; the first call of a stage says what was before."""

    def __call__(self, stage: str, done: int, total: int, said: str = "", /) -> None:
        """Take (stage, done, in all), and what a log shows beside them, such as a loss."""
        ...


def silent(stage: str, done: int, total: int, said: str = "", /) -> None:
    """Take progress and tell nobody."""


def counted(progress: Progress, stage: str, items: Collection[T]) -> Iterator[T]:
    """Yield the items, and tell how many of them are done; the body's errors end the stage."""
    tick = ticking(progress, stage, len(items))
    for item in items:
        yield item
        tick()


def ticking(progress: Progress, stage: str, total: int) -> Callable[..., None]:
    """Begin a stage, and return what is to be called after each of its ``total`` pieces of work.

    It takes what a log shows beside the count, such as a loss.
    """
    done = 0
    progress(stage, 0, total)

    def tick(said: str = "") -> None:
        nonlocal done
        done += 1
        progress(stage, done, total, said)

    return tick


class Bars:
    """Progress as bars of tqdm, as a Trainer's own are; a stage that is left behind is closed."""

    def __init__(self) -> None:
        self._stage, self._bar = "", None

    def __call__(self, stage: str, done: int, total: int, said: str = "", /) -> None:
        """Draw the bar of a stage."""
        bar = self._at(stage, done, total)
        bar.set_postfix_str(said, refresh=False)
        bar.update(done - bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is drawn."""
        if self._bar is not None:
            self._bar.close()
        self._stage, self._bar = "", None

    def _at(self, stage: str, done: int, total: int) -> Any:
        from tqdm.auto import tqdm  # noqa: PLC0415  # Only for who watches.

        if self._bar is None or stage != self._stage:
            self.close()
            self._stage, self._bar = stage, tqdm(desc=stage, initial=done, total=total, leave=True)
        return self._bar
