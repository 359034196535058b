"""The guard scan: a judge that reads content looks at each answer, alone and in segments too.

Harmful pairs that are put into harmless rows escape a guard that reads whole rows (arXiv
2606.30263), so long answers are read in pieces of at most 256 tokens as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from holdfast.commands.screening.blocks import Blocks
from holdfast.data.checks import Finding, Span
from holdfast.data.checks.protocol import Rows
from holdfast.data.checks.texts import answer_of, sentences
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evaluation import Item
from holdfast.evaluation.judges.protocol import Judge, verdicts_of, words_of
from holdfast.evaluation.judges.refusals import REFUSAL_WORDS
from holdfast.evaluation.metrics import Outcome
from holdfast.inputs.judging import judges_for
from holdfast.progress import Progress

__all__ = ["GUARD", "guard_of", "guarded", "segments"]

GUARD = "guard"
TOKENS = 256
ALONE = [{"role": "user", "content": "Go on."}]
"""What is asked where an answer is read without its prompt."""
PAIR, APART, PIECE = "the answer to its prompt", "the answer alone", "a segment of the answer"


def guard_of(text: str) -> tuple[Judge, list[str]]:
    """Return the guard of ``NAME[:key=value,...]``, and what a reader must know of it.

    Raises:
        ConfigError: It is unknown, or reads refusals alone.
        InputError: What it needs is not there.
    """
    try:
        panel = judges_for("", [text])
    except HoldfastError as error:
        error.args = (str(error).replace("`judge=", "`guard="),)
        raise
    guard = panel.judges[0]
    if words_of(guard) == REFUSAL_WORDS and not hasattr(guard, "prepare"):
        raise ConfigError(
            f"`guard={text}` reads refusals and no content: give one that does, such as "
            "qwen3guard:model=DIR"
        )
    return guard, list(panel.notes)


def guarded(
    guard: Judge, rows: Rows, tokenizer: Any, blocks: Blocks, progress: Progress
) -> list[Finding]:
    """Return what the guard finds in the answers of rows; what it cannot read is a finding too."""
    count = _counter(tokenizer)
    views = [view for row in rows for view in _views(row, count)]
    made_of = [GUARD, guard.name, guard.version]
    verdicts = blocks.each(
        views, made_of, lambda block: _ask(guard, block),
        lambda done, total: progress("guard", done, total),
    )  # fmt: skip
    pairs = zip(views, verdicts, strict=True)
    return [
        finding
        for _, told in groupby(pairs, key=lambda pair: pair[0]["row"])
        if (finding := _finding(list(told))) is not None
    ]


def segments(text: str, most: int, count: Callable[[str], int]) -> list[tuple[int, int]]:
    """Return where the pieces of a text begin and end, each of whole sentences where they fit.

    Args:
        text: The text; the pieces cover it.
        most: Tokens of a piece.
        count: Returns the tokens of a text.
    """
    found: list[tuple[int, int]] = []
    start = end = 0
    for part in _parts(text, most, count):
        if end > start and count(text[start : end + len(part)]) > most:
            found.append((start, end))
            start = end
        end += len(part)
    return [*found, (start, end)] if end > start else found


def _parts(text: str, most: int, count: Callable[[str], int]) -> Iterator[str]:
    """Yield sentences, and pieces of those that are too long."""
    for sentence in sentences(text):
        while sentence and count(sentence) > most:
            cut = max(1, len(sentence) * most // count(sentence))
            while cut > 1 and count(sentence[:cut]) > most:
                cut = cut * 3 // 4 or 1
            yield sentence[:cut]
            sentence = sentence[cut:]  # noqa: PLW2901  # The rest of it.
        if sentence:
            yield sentence


def _counter(tokenizer: Any) -> Callable[[str], int]:
    if tokenizer is None:
        return lambda text: len(text) // 3 + 1  # On the safe side of about 4 letters a token.
    return lambda text: len(tokenizer(text, add_special_tokens=False).input_ids)


def _views(row: Mapping[str, Any], count: Callable[[str], int]) -> Iterator[dict[str, Any]]:
    answer, place = answer_of(row), len(row["prompt"])
    if not answer.strip():
        return
    whole = {"row": row["row"], "answer": answer, "span": None}
    yield {**whole, "what": PAIR, "prompt": [dict(m) for m in row["prompt"]]}
    yield {**whole, "what": APART, "prompt": ALONE}
    pieces = segments(answer, TOKENS, count)
    for start, end in pieces if len(pieces) > 1 else ():
        said = {"answer": answer[start:end], "span": [place, start, end]}
        yield {**whole, **said, "what": PIECE, "prompt": ALONE}


def _ask(guard: Judge, views: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    items = [Item(f"{n}", "harmful", view["prompt"]) for n, view in enumerate(views)]
    verdicts = verdicts_of(guard, items, [view["answer"] for view in views])
    return [
        {
            "read": verdict.outcome != Outcome.UNSCORED,
            "harmful": verdict.harmful,
            "label": verdict.label,
            "categories": list(verdict.categories),
        }
        for verdict in verdicts
    ]


def _finding(told: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Finding | None:
    """Return what the guard says of one row: the worst of its readings."""
    row = told[0][0]["row"]
    harmful = [(view, verdict) for view, verdict in told if verdict["harmful"]]
    if harmful:
        view, verdict = harmful[0]
        named = " ".join(verdict["categories"]) or verdict["label"] or "harmful"
        span = None if view["span"] is None else Span(*view["span"])
        action = "drop" if view["what"] == PAIR else "review"
        return Finding(GUARD, row, f"guard, {view['what']}: {named}", "alarm", action, span)
    unread = [view["what"] for view, verdict in told if not verdict["read"]]
    if unread:
        return Finding(GUARD, row, f"the guard gave no verdict on {unread[0]}", "warn", "review")
    return None
