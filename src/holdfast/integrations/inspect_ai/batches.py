"""Questions that are asked one by one, at the same time, and are answered in batches."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio
from anyio.to_thread import run_sync

__all__ = ["Batches"]

Asked = TypeVar("Asked")
Said = TypeVar("Said")
_PATIENCE = 0.05
"""Seconds without a new question after which a batch that is not full is answered."""


class Batches(Generic[Asked, Said]):
    """Gathers questions; whoever asks first answers for those that come after, in a thread.

    Args:
        answer: Answers several questions, in order; never called twice at the same time.
        size: Most questions in a batch.
    """

    def __init__(self, answer: Callable[[Sequence[Asked]], list[Said]], size: int) -> None:
        self._answer, self._size = answer, size
        self._waiting: list[_Place[Asked, Said]] = []
        self._answering = False

    async def ask(self, asked: Asked) -> Said:
        """Return the answer; what the batch raises is raised for each of its questions."""
        place = _Place[Asked, Said](asked)
        self._waiting.append(place)
        if not self._answering:
            self._answering = True
            try:
                await self._answer_all()
            finally:
                self._answering = False
        await place.done.wait()
        if place.error is not None:
            raise place.error
        [said] = place.said
        return said

    async def _answer_all(self) -> None:
        while self._waiting:
            await self._gathered()
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            try:
                said = await run_sync(self._answer, [place.asked for place in batch])
                for place, own in zip(batch, said, strict=True):
                    place.said.append(own)
            except Exception as error:  # noqa: BLE001  # It is raised where each one was asked.
                for place in batch:
                    place.error = error
            for place in batch:
                place.done.set()

    async def _gathered(self) -> None:
        """Wait until a batch is full, or no more questions come."""
        seen = 0
        while seen < len(self._waiting) < self._size:
            seen = len(self._waiting)
            await anyio.sleep(_PATIENCE)


class _Place(Generic[Asked, Said]):
    """One question and, later, its answer."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.said: list[Said] = []
        self.error: Exception | None = None
        self.done = anyio.Event()
