"""What answers questions where it is no model in this process: a server, or another program."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from holdfast.evaluation.generate import Answered
from holdfast.evaluation.reply import Reply

__all__ = ["Engine"]


@runtime_checkable
class Engine(Protocol):
    """Stands in the place of a model; it decodes greedily and brings its own tokenizer."""

    def replies(
        self,
        prompts: Sequence[Sequence[Mapping[str, str]]],
        *,
        max_new_tokens: int,
        progress: Answered | None = None,
    ) -> list[Reply]:
        """Return the reply to each prompt, in order.

        Raises:
            RunError: It failed; what was answered before is kept where that can be.
        """
        ...

    def recorded(self, max_new_tokens: int) -> dict[str, int | str]:
        """Return what a result keeps of the decoding."""
        ...

    def finished(self) -> None:
        """Take that the answers are in a result: what was kept of them may go."""
        ...
