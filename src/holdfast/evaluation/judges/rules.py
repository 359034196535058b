"""Our own rules around every judge, installed ones too: what it reads, and what is no answer.

Thinking is taken out before a judge reads, and a thought that never ended is no answer; neither is
an empty one. What is left is folded, so that a curly apostrophe, a full-width letter or a blank
that no reader sees changes no verdict.
"""

from collections.abc import Sequence

from holdfast.evaluation.judges.folding import folded
from holdfast.evaluation.judges.protocol import Judge, verdicts_of
from holdfast.evaluation.metrics import NOT_JUDGED, Item, Outcome, Verdict
from holdfast.evaluation.reply import Reply, reply_of

__all__ = ["heard", "judged"]


def heard(answer: str | Reply) -> Reply:
    """Return what was said in an answer of any engine, its thinking taken out."""
    return answer if isinstance(answer, Reply) else reply_of(answer)


def judged(judge: Judge, items: Sequence[Item], replies: Sequence[Reply]) -> tuple[Verdict, ...]:
    """Return the judge's verdicts on folded answers; on what is no answer it has no say.

    Raises:
        DataError: The judge gives what is no verdict.
    """
    texts = [folded(reply.text) for reply in replies]
    verdicts = verdicts_of(judge, items, texts)
    return tuple(
        _unless_unsaid(text, reply, verdict)
        for text, reply, verdict in zip(texts, replies, verdicts, strict=True)
    )


def _unless_unsaid(text: str, reply: Reply, verdict: Verdict) -> Verdict:
    """Return the verdict, or where there is no answer one that says so, whoever judges."""
    if (text and not reply.unfinished) or verdict.label == NOT_JUDGED:
        return verdict
    outcome = Outcome.UNFINISHED if reply.unfinished else Outcome.EMPTY
    return Verdict(
        outcome, harmful=False, refused=False, coherent=False, correct=False, score=0.0,
        judge=verdict.judge,
    )  # fmt: skip
