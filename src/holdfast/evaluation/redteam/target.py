"""The model under attack: what it can be asked, and its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.errors import DataError
from holdfast.evaluation.generate import Answered, Engine, replies_to
from holdfast.evaluation.redteam.attack import Asked
from holdfast.evaluation.redteam.rendered import prompt_ids, why_not
from holdfast.evaluation.reply import Reply

__all__ = ["Target"]


@dataclass(frozen=True)
class Target:
    """A model with its tokenizer, or what answers in its place."""

    model: Any
    tokenizer: Any
    max_new_tokens: int = 64
    batch_size: int = 64
    limit: int | None = None
    """Most tokens of a prompt and its answer; None where nobody knows."""

    @property
    def is_here(self) -> bool:
        """Whether its tokens are ours to give: a server has a template of its own."""
        return not isinstance(self.model, Engine)

    def why_not(self, asked: Sequence[Asked]) -> str:
        """Return why these prompts of one variant cannot be asked of it, or ""."""
        if self.is_here:
            return why_not(asked, self.tokenizer)
        if any(each.prefill or not each.messages for each in asked):
            return "what answers takes conversations alone, no tokens and no beginning of an answer"
        if any(each.no_system and not each.dropped for each in asked):
            return "the template is the server's, and nobody sees here what it writes by itself"
        return ""

    def fits(self, ids: Sequence[int]) -> bool:
        """Tell whether a prompt leaves room for the longest answer."""
        return self.limit is None or len(ids) + self.max_new_tokens <= self.limit

    def check(self, name: str, asked: Sequence[Asked]) -> None:
        """Raise ``DataError``, naming attack and question, unless each leaves room for an answer.

        Args:
            name: The attack's.
            asked: Prompts that can be asked.
        """
        for each in asked if self.is_here else ():
            ids = prompt_ids(each, self.tokenizer)
            if not self.fits(ids):
                raise DataError(
                    f"the attack {name!r} on question {each.item} has {len(ids)} tokens, and with "
                    f"{self.max_new_tokens} for the answer it is longer than the model's "
                    f"{self.limit}: lower `max_new_tokens`, give shorter rows of the task, or "
                    "leave the attack out of `attacks`"
                )

    def replies(self, asked: Sequence[Asked], progress: Answered | None = None) -> list[Reply]:
        """Return the reply to each prompt, in order."""
        if not asked:
            return []
        if not self.is_here:
            prompts = [each.messages for each in asked]
            how: dict[str, Any] = {"max_new_tokens": self.max_new_tokens, "progress": progress}
            return self.model.replies(prompts, **how)
        rows = [prompt_ids(each, self.tokenizer) for each in asked]
        return replies_to(
            self.model, self.tokenizer, rows, max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size, progress=progress,
        )  # fmt: skip
