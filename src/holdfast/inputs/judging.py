"""Measure a model with the judge that fits it: the oracle for the organism, else phrases."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from holdfast.data.chat import encode_prompt
from holdfast.errors import DataError
from holdfast.evaluation import Item, Measurement, evaluate
from holdfast.evaluation.judges import BUILT_IN, Judge
from holdfast.evaluation.judges.protocol import GROUP, fault
from holdfast.files.entry_points import Registry
from holdfast.inputs.rows import ORGANISM
from holdfast.progress import Progress

__all__ = ["Examiner", "check_items", "judge_for", "judges"]


@cache
def judges() -> Registry[type[Judge]]:
    """Return the judges by name: ours, and those that other packages declare."""
    from holdfast.organism import Oracle  # noqa: PLC0415  # Only for who asks for it.

    return Registry(GROUP, "judge", {**BUILT_IN, "organism_oracle": Oracle}, fault)


def judge_for(model: str, name: str | None = None) -> Judge:
    """Return the judge of this name; without, the organism's oracle or the refusal phrases.

    Raises:
        ConfigError: There is none of this name, or it is an installed one that cannot be used.
    """
    own = "organism_oracle" if model == ORGANISM else "refusal_phrases"
    return judges().find(own if name is None else name)()


def check_items(items: Sequence[Item], tokenizer: Any, limit: int | None, new: int) -> None:
    """Raise ``DataError``, naming the question, unless each leaves room for its answer."""
    for item in items if limit is not None else ():
        length = len(encode_prompt(list(item.prompt), tokenizer))  # type: ignore[arg-type]
        if length + new > (limit or 0):
            raise DataError(
                f"question {item.id}: has {length} tokens, and with {new} for the answer it is "
                f"longer than the model's {limit}: shorten it, or lower `max_new_tokens`"
            )


@dataclass(frozen=True)
class Examiner:
    """Asks the same questions of a model, before and after."""

    items: Sequence[Item]
    tokenizer: Any
    judge: Judge
    progress: Progress
    max_new_tokens: int = 64
    batch_size: int = 64

    def examine(self, name: str, model: Any) -> Measurement | None:
        """Return the measurement, or None where there is no question; ``name`` is the stage's."""
        if not self.items:
            return None
        self.progress(name, 0, len(self.items))
        return evaluate(
            model,
            self.tokenizer,
            self.items,
            self.judge,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            progress=lambda done, total: self.progress(name, done, total),
        )
