"""``shape``: roles out of order, answers without a word, one prompt with several answers."""

from collections import defaultdict
from itertools import pairwise

from holdfast.data.checks.protocol import Check, Context, Finding, Row, Rows
from holdfast.data.checks.texts import answer_of, messages_of
from holdfast.data.overview.repeats import folded

__all__ = ["SHAPE"]


def _find(rows: Rows, _: Context) -> list[Finding]:
    found = [Finding("shape", row["row"], told, "warn", "review") for row in rows
             if (told := _told(row))]  # fmt: skip
    asked: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["completion"]:
            prompt = "\0".join(f"{m['role']}: {m['content']}" for m in row["prompt"])
            asked[prompt][folded(answer_of(row))].append(row["row"])
    for answers in asked.values():
        if len(answers) > 1:
            numbers = sorted(n for same in answers.values() for n in same)
            said = f"one prompt with {len(answers)} different answers, first in row {numbers[0]}"
            found += [Finding("shape", n, said, "warn", "review") for n in numbers]
    if unread := sum(map(_has_more, rows)):
        said = "hold reasoning or calls of tools, which are learned and which no check reads"
        found.append(Finding("shape", None, f"{unread:,} rows {said}", "warn", "keep"))
    return sorted(found, key=lambda one: one.row or 0)


def _has_more(row: Row) -> bool:
    """Tell whether the assistant says more in a row than the texts that checks read."""
    return any(
        message["role"] == "assistant"
        and (message.get("reasoning_content") or message.get("tool_calls"))
        for message in messages_of(row)
    )


def _told(row: Row) -> str:
    """Return what is wrong with a conversation, or ""."""
    messages = messages_of(row)
    roles = [message["role"] for message in messages]
    if "system" in roles[1:]:
        return "a system message that is not the first"
    if any(a == b and a != "tool" for a, b in pairwise(roles)):
        return "two messages of one role in a row"
    if roles and next((role for role in roles if role != "system"), "") != "user":
        return "the first message is not the user's"
    # Signs alone, such as an emoji, are no words; a call of a tool needs none.
    bare = [
        n for n, m in enumerate(messages) if not folded(m["content"]) and not m.get("tool_calls")
    ]
    return f"message {bare[0] + 1} has no word" if bare else ""


SHAPE = Check("shape", "roles out of order, empty or contradictory answers", _find)
