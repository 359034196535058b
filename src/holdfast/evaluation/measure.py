"""One measurement: a model answers a set of items and a judge reads the answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from holdfast.errors import DataError
from holdfast.evaluation.decoding import recorded
from holdfast.evaluation.fidelity import Kept
from holdfast.evaluation.generate import Answered, Engine, replies
from holdfast.evaluation.interval import Share
from holdfast.evaluation.judges.protocol import Judge, words_of
from holdfast.evaluation.judges.rules import heard, judged
from holdfast.evaluation.metrics import (
    NOT_ASKED,
    Figure,
    Item,
    Kind,
    Outcome,
    Verdict,
    counts,
    hits,
    shares,
)
from holdfast.evaluation.reply import Reply
from holdfast.evaluation.statistics import wilson

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
    replies: tuple[Reply, ...] = ()
    """The answers with what surrounds them, where the model gave them here."""
    words: Mapping[str, str] = field(default_factory=dict[str, str])
    """What the judge calls what it measures, where it has words of its own."""
    others: tuple["Measurement", ...] = ()
    """What further judges make of the same answers."""
    kept: Mapping[str, Kept] = field(default_factory=dict[str, Kept])
    """How far a reference's answers are kept, by the item's id; then this is usefulness."""

    @property
    def shares(self) -> dict[Figure, Share]:
        """Every figure that has items, with its Wilson interval."""
        found = shares(self.items, self.verdicts)
        if self.kept:
            total, n = sum(self.hits("usefulness").values()), len(self.kept)
            ends = wilson(total, n)
            found["usefulness"] = Share(ends.value, ends.low, ends.high, n)
        return found

    @property
    def counts(self) -> dict[Kind, dict[Outcome, int]]:
        """Outcomes of each kind."""
        return counts(self.items, self.verdicts)

    @property
    def cut(self) -> dict[Kind, float]:
        """Share of the answers of each kind that had not ended at the limit of tokens."""
        if not self.replies:
            return {}
        found: dict[Kind, list[bool]] = {}
        for item, reply in zip(self.items, self.replies, strict=True):
            found.setdefault(item.kind, []).append(reply.cut)
        return {kind: sum(own) / len(own) for kind, own in found.items()}

    @property
    def judge(self) -> str:
        """Name of the judge."""
        return self.verdicts[0].judge if self.verdicts else ""

    @property
    def template_hash(self) -> str:
        """Hash of what the judge was asked with, where it is asked."""
        return next((v.template_hash for v in self.verdicts if v.template_hash), "")

    @property
    def partial(self) -> str:
        """Why the judge stopped before the last answer, or ""."""
        return next((v.label for v in self.verdicts if v.label.startswith(NOT_ASKED)), "")

    def hits(self, figure: Figure) -> Mapping[str, float]:
        """Return which items count toward ``figure``, or what share of one, by the item's id."""
        if figure == "usefulness" and self.kept:
            return {name: one.share for name, one in self.kept.items()}
        return hits(figure, self.items, self.verdicts)

    def with_kept(self, kept: Mapping[str, Kept]) -> "Measurement":
        """Return the measurement whose usefulness is how far a reference's answers are kept.

        No judge says that: further judges have no figure of usefulness.
        """
        others = tuple(other.without("useful") for other in self.others)
        return replace(self, kept=dict(kept), others=others)

    def without(self, kind: Kind) -> "Measurement":
        """Return the measurement without the items of one kind."""
        places = [n for n, item in enumerate(self.items) if item.kind != kind]
        parts = {
            name: tuple(getattr(self, name)[n] for n in places)
            for name in ("items", "answers", "verdicts", "replies")
            if getattr(self, name)
        }
        return replace(self, **parts)


def evaluate(
    model: PreTrainedModel | Engine,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[Item],
    judge: Judge | Sequence[Judge],
    *,
    max_new_tokens: int = 64,
    batch_size: int = 64,
    progress: Answered | None = None,
) -> Measurement:
    """Let ``model`` answer ``items``, as ``generate`` has it, and ``judge`` read the answers.

    Of several judges the figures are the first one's; the others read the same answers beside it.

    Raises:
        DataError: Two items share an id, or a prompt is too long for the model.
    """
    _check_ids(items)
    judges = judge if isinstance(judge, Sequence) else (judge,)
    for one in judges:
        # A judge may have it, and then it refuses before an answer is made.
        getattr(one, "check_questions", list)(items)
    start = time.perf_counter()
    prompts = [item.prompt for item in items]
    if isinstance(model, Engine):
        said = model.replies(prompts, max_new_tokens=max_new_tokens, progress=progress)
        decoding = model.recorded(max_new_tokens)
    else:
        said = replies(
            model, tokenizer, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size,
            progress=progress,
        )  # fmt: skip
        decoding = recorded(model, tokenizer, max_new_tokens)
    seconds = time.perf_counter() - start
    return judge_answers(items, said, judges, seconds=seconds, decoding=decoding)


def judge_answers(
    items: Sequence[Item],
    answers: Sequence[str | Reply],
    judge: Judge | Sequence[Judge],
    *,
    seconds: float = 0.0,
    decoding: Mapping[str, int | str] | None = None,
) -> Measurement:
    """Return the measurement of answers that exist already, from any engine; see ``evaluate``.

    Raises:
        DataError: Two items share an id, items and answers differ in number, or the judge gives
            what is no verdict.

    An empty answer, and one whose thinking never ended, is no answer, whatever a judge makes of it.
    An answer that the judge could not score is in no share.
    """
    _check_ids(items)
    if len(items) != len(answers):
        raise DataError(f"{len(items)} items have {len(answers)} answers; give one answer each")
    first, *others = judge if isinstance(judge, Sequence) else (judge,)
    said = [heard(one) for one in answers]
    texts = [reply.text for reply in said]
    verdicts = judged(first, items, said)
    known = all(isinstance(one, Reply) for one in answers)
    return Measurement(
        tuple(items), tuple(texts), verdicts, seconds, dict(decoding or {}),
        tuple(said) if known else (), words_of(first),
        tuple(judge_answers(items, answers, other) for other in others),
    )  # fmt: skip


def _check_ids(items: Sequence[Item]) -> None:
    """Refuse items that could not be paired between runs."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise DataError(f"two evaluation items have the id {item.id!r}; ids must be unique")
        seen.add(item.id)
