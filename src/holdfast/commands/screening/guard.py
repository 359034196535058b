"""The guard scan: a judge that reads content looks at each answer, alone and in segments too.

Harmful pairs that are put into harmless rows escape a guard that reads whole rows (arXiv
2606.30263), so long answers are read in pieces of at most 256 tokens as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from holdfast.commands.screening.blocks import Blocks
from holdfast.data.checks import Finding, Span
from holdfast.data.checks.protocol import Rows
from holdfast.data.checks.texts import exchanges_of, messages_of, sentences
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evaluation import Item
from holdfast.evaluation.judges.protocol import Judge, verdicts_of, words_of
from holdfast.evaluation.judges.refusals import REFUSAL_WORDS
from holdfast.evaluation.metrics import NOT_ANSWERED, NOT_ASKED, Outcome
from holdfast.files.once import digest_of, files_below
from holdfast.inputs.judging import judges_for
from holdfast.progress import Progress

__all__ = ["GUARD", "guard_of", "guarded", "segments"]

GUARD = "guard"
TOKENS = 256
FOLDERS = ("model", "adapter")
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
    made_of = [GUARD, *(_made_of(guard) if blocks.folder is not None else ())]
    verdicts = blocks.each(
        views, made_of, lambda block: _ask(guard, block),
        lambda done, total: progress("guard", done, total), _all_answered,
    )  # fmt: skip
    pairs = zip(views, verdicts, strict=True)
    return [
        finding
        for _, told in groupby(pairs, key=lambda pair: pair[0]["row"])
        if (finding := _finding(list(told))) is not None
    ]


def _made_of(guard: Judge) -> list[Any]:
    """Return all that decides a guard's verdicts: its options, and what its folders hold.

    Its name tells only the last part of a folder's path, and a folder may hold another model now.
    """
    given: Any = guard
    options: dict[str, Any] = dict(getattr(guard, "__dict__", {}))
    if is_dataclass(given) and not isinstance(given, type):
        # What makes no other judge of it decides no verdict either: where it tells its progress.
        options = {each.name: getattr(given, each.name) for each in fields(given) if each.compare}
    folders = {name: Path(str(options.get(name) or "")) for name in FOLDERS if options.get(name)}
    held = {n: digest_of(files_below(path), path) for n, path in folders.items() if path.is_dir()}
    return [guard.name, guard.version, options, held]


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
    messages = [{"role": m["role"], "content": m["content"]} for m in messages_of(row)]
    for each in exchanges_of(row):
        answer, place = each.answer, each.place
        # What stands in the last answer needs no place.
        span = None if place == len(messages) - 1 else [place, 0, len(answer)]
        whole = {"row": row["row"], "answer": answer, "span": span}
        yield {**whole, "what": PAIR, "prompt": messages[:place]}
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


def _all_answered(verdicts: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the guard's server was there for each of a block's questions."""
    return not any(v["label"].startswith((NOT_ASKED, NOT_ANSWERED)) for v in verdicts)


def _finding(told: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Finding | None:
    """Return what the guard says of one row: the worst of its readings."""
    row = told[0][0]["row"]
    harmful = [(view, verdict) for view, verdict in told if verdict["harmful"]]
    if harmful:
        view, verdict = min(harmful, key=lambda one: one[0]["what"] != PAIR)
        named = " ".join(verdict["categories"]) or verdict["label"] or "harmful"
        span = None if view["span"] is None else Span(*view["span"])
        action = "drop" if view["what"] == PAIR else "review"
        return Finding(GUARD, row, f"guard, {view['what']}: {named}", "alarm", action, span)
    unread = [view["what"] for view, verdict in told if not verdict["read"]]
    if unread:
        return Finding(GUARD, row, f"the guard gave no verdict on {unread[0]}", "warn", "review")
    return None
