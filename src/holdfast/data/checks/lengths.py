"""``length``: rows that ``max_length`` cuts, and rows of whose answer nothing is left to learn."""

from holdfast.data.checks.protocol import Check, Context, Finding, Rows
from holdfast.data.overview.rendered_rows import Encoded, encoded

__all__ = ["LENGTH"]


def _find(rows: Rows, context: Context) -> list[Finding]:
    limit = context.max_length or 0
    held, refused = encoded(rows, context.tokenizer, "the rows")
    found = [
        Finding("length", number, f"the template or the tokenizer refuses it: {_short(why)}",
                "refuse", "drop")
        for number, why in refused.items()
    ]  # fmt: skip
    answered = {row["row"] for row in rows if row["completion"]}
    for each in held:
        found += _of(each, limit, answered=each.row in answered)
    return sorted(found, key=lambda one: one.row or 0)


def _of(row: Encoded, limit: int, *, answered: bool) -> list[Finding]:
    # A label is learned from the token before it, so the first teaches nothing.
    if answered and not any(row.trained[1:limit]):
        said = f"no answer left at {limit} tokens"
        return [Finding("length", row.row, said, "refuse", "drop")]
    if len(row.ids) > limit:
        said = f"cut at {limit:,} tokens ({len(row.ids):,} in all)"
        return [Finding("length", row.row, said, "warn", "review")]
    return []


def _short(why: str) -> str:
    """Return the reason without what it may quote of the row."""
    return why.partition(":")[0][:80]


LENGTH = Check("length", "rows that are cut, or left without an answer", _find,
               ("tokenizer", "max_length"))  # fmt: skip
