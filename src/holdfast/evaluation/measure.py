"""One measurement: a model answers a set of items and a judge reads the answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from holdfast.errors import DataError
from holdfast.evaluation.generate import Answered, generate
from holdfast.evaluation.interval import Share
from holdfast.evaluation.judges.protocol import Judge, verdicts_of
from holdfast.evaluation.metrics import Figure, Item, Kind, Outcome, Verdict, counts, hits, shares

__all__ = ["Measurement", "evaluate", "judge_answers"]


@dataclass(frozen=True)
class Measurement:
    """Answers of one model to one set of items, judged: one answer and one verdict each."""

    items: tuple[Item, ...]
    answers: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    seconds: float = 0.0
    """Time spent generating."""
    decoding: Mapping[str, int | str] = field(default_factory=dict[str, int | str])
    """What the answers were decoded with."""

    @property
    def shares(self) -> dict[Figure, Share]:
        """Every figure that has items, with its Wilson interval."""
        return shares(self.items, self.verdicts)

    @property
    def counts(self) -> dict[Kind, dict[Outcome, int]]:
        """Outcomes of each kind."""
        return counts(self.items, self.verdicts)

    @property
    def judge(self) -> str:
        """Name of the judge."""
        return self.verdicts[0].judge if self.verdicts else ""

    def hits(self, figure: Figure) -> dict[str, bool]:
        """Return which items count toward ``figure``, by the item's id."""
        return hits(figure, self.items, self.verdicts)


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    judge: Judge,
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
) -> Measurement:
    """Let ``model`` answer ``items``, as ``generate`` has it, and ``judge`` read the answers.

    Raises:
        DataError: Two items share an id, or a prompt is too long for the model.
    """
    _check_ids(items)
    start = time.perf_counter()
    prompts = [item.prompt for item in items]
    answers = generate(
        model, tokenizer, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size,
        progress=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    decoding: dict[str, int | str] = {"method": "greedy", "max_new_tokens": max_new_tokens}
    return judge_answers(items, answers, judge, seconds=seconds, decoding=decoding)


def judge_answers(
    items: Sequence[Item],
    answers: Sequence[str],
    judge: Judge,
    *,
    seconds: float = 0.0,
    decoding: Mapping[str, int | str] | None = None,
) -> Measurement:
    """Return the measurement of answers that exist already, from any engine.

    Raises:
        DataError: Two items share an id, items and answers differ in number, or the judge gives
            what is no verdict.
    """
    _check_ids(items)
    if len(items) != len(answers):
        raise DataError(f"{len(items)} items have {len(answers)} answers; give one answer each")
    verdicts = verdicts_of(judge, items, answers)
    return Measurement(tuple(items), tuple(answers), verdicts, seconds, dict(decoding or {}))


def _check_ids(items: Sequence[Item]) -> None:
    """Refuse items that could not be paired between runs."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DataError(f"two evaluation items have the id {item.id!r}; ids must be unique")
        seen.add(item.id)
