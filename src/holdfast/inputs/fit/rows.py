"""Every row and question against the model that will read it, before anything is computed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from holdfast.data.chat import check_lengths, encode
from holdfast.data.notices import Notice
from holdfast.data.rendering.control_tokens import ControlTokens, Found, refuse
from holdfast.data.turns.conversation import spoken
from holdfast.defense import Row
from holdfast.errors import DataError
from holdfast.evaluation import Item
from holdfast.inputs.rows import Source

__all__ = ["control_notes", "length_notes", "prompt_notes", "question_notes"]


def length_notes(
    sources: Iterable[Source], tokenizer: Any, limit: int | None, options: Mapping[str, Any]
) -> list[str]:
    """Return which rows the user's own ``max_length`` cuts.

    Raises:
        DataError: A row is longer than the model, or nothing of its answer would be left.
    """
    wanted = options.get("max_length")
    notes: list[str] = []
    for each in sources:
        rows: Any = each.rows
        if wanted is None or (limit is not None and wanted > limit):
            check_lengths(rows, tokenizer, limit, each.path)
        if wanted is not None:
            keep_end = options.get("truncation_mode") == "keep_end"
            notes += _cut(each, tokenizer, int(wanted), keep_end=keep_end)
    return notes


def _cut(each: Source, tokenizer: Any, wanted: int, *, keep_end: bool) -> list[str]:
    rows: Any = each.rows
    cut: list[int] = []
    emptied: list[int] = []
    for number, row in enumerate(rows, start=1):
        where = f"{each.path}, row {row.get('row') or number}"
        labels = encode(row, tokenizer, None, where=where)["labels"]
        kept = labels[-wanted:] if keep_end else labels[:wanted]
        if len(labels) > wanted:
            cut.append(row.get("row") or number)
        # A label is learned from the token before it, so the first teaches nothing.
        if not any(label >= 0 for label in kept[1:]):
            emptied.append(row.get("row") or number)
    nothing = Notice(
        f"{len(emptied)} of {len(rows)} rows have nothing of their answer left at "
        f"max_length={wanted}", tuple(emptied)
    )  # fmt: skip
    if emptied and (each.role == "data" or len(emptied) == len(rows)):
        way_out = "raise max_length, or shorten or remove the rows"
        raise DataError(f"{each.path}: {nothing}: {way_out}")
    short = Notice(f"max_length={wanted} cuts {len(cut)} of {len(rows)} rows", tuple(cut))
    told = [finding for finding in (short, nothing) if finding.rows]
    return [f"{each.role}: {each.path}: {finding}" for finding in told]


def control_notes(
    sources: Iterable[Source], tokenizer: Any, options: Mapping[str, Any], *, allowed: bool
) -> list[str]:
    """Return in which rows control tokens stand that are wanted there.

    Raises:
        DataError: They are not, or would be learned as turns.
    """
    look = ControlTokens(tokenizer)
    learned = options.get("completion_only_loss") is False
    notes: list[str] = []
    for each in sources:
        rows: Any = each.rows
        named = ((str(row.get("row") or n), *spoken(row)) for n, row in enumerate(rows, start=1))
        found = look.found(each.path, named, len(rows))
        notes += _noted(found, allowed=allowed, learned=learned and each.role == "data")
    return notes


def question_notes(items: Sequence[Item], tokenizer: Any, *, allowed: bool) -> list[str]:
    """Return in which questions control tokens stand that are wanted there.

    Raises:
        DataError: They are not.
    """
    named = ((item.id, item.prompt, ()) for item in items)
    found = ControlTokens(tokenizer).found("the questions", named, len(items))
    return _noted(found, allowed=allowed)


def prompt_notes(path: str, rows: Sequence[Row], tokenizer: Any, *, allowed: bool) -> list[str]:
    """Return in which prompts of an analysis control tokens stand that are wanted there.

    Raises:
        DataError: They are not.
    """
    named = ((str(row["row"]), row["prompt"], ()) for row in rows)
    return _noted(ControlTokens(tokenizer).found(path, named, len(rows)), allowed=allowed)


def _noted(found: Found | None, *, allowed: bool, learned: bool = False) -> list[str]:
    return [] if found is None else [refuse(found, allowed=allowed, learned=learned)]
