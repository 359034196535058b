"""Safe rows in the format of the user's prompts: a template, or what most prompts share.

Rows written in the user's task format protect more than others (arXiv 2406.10288, which rewrites
them with a language model). This form of it is ours.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.defense import Row
from holdfast.errors import ConfigError
from holdfast.ops.batches import IGNORED

__all__ = [
    "AUTO", "REQUEST", "SHARED", "Style", "answer_start", "bare_request", "dressed", "shared_style",
    "templated",
]  # fmt: skip

AUTO = "auto"
REQUEST = "{request}"
SHARED = 0.8
"""Least share of the user's prompts that begin, and that end, with a style; ours."""
_HEADER = 2
"""Most tokens before a request, a row's first left out, that say that a user speaks: a prefix
without them is no style."""

Ids = list[int]


@dataclass(frozen=True)
class Style:
    """What stands before and after the request in most of the user's prompts, as tokens."""

    before: Ids
    after: Ids


def templated(row: Row, template: str) -> Row:
    """Return the Example with its last message of a user put into the template.

    Raises:
        ConfigError: The row is tokens already, or has no message of a user.
    """
    messages = [dict(message) for message in row.get("prompt", ())]
    at = [n for n, message in enumerate(messages) if message["role"] == "user"]
    if not at:
        raise ConfigError(
            "safe_mixing: `style` is put around a user's message, and a row of `safe` has none; "
            "give rows with a prompt"
        )
    own = messages[at[-1]]
    own["content"] = template.replace(REQUEST, own["content"])
    return {**row, "prompt": messages}


def bare_request(row: Row, content: str | None = None) -> Row:
    """Return the Example with its last message of a user alone, or another one in its place.

    Raises:
        ConfigError: See ``templated``.
    """
    message = dict(templated(row, REQUEST)["prompt"][-1])
    return {**row, "prompt": [message if content is None else {**message, "content": content}]}


def shared_style(prompts: Sequence[Ids], least: float = SHARED) -> Style | None:
    """Return the longest prefix and the longest suffix of a share of prompts; None where none fits.

    Each is held by at least ``least`` of them, and as many have something in between.

    Args:
        prompts: Tokens of the user's prompts, through the chat template.
        least: Share of them, above a half.
    """
    before = _shared(prompts, least)
    after = _shared([prompt[::-1] for prompt in prompts], least)[::-1]
    roomy = sum(len(prompt) > len(before) + len(after) for prompt in prompts)
    return Style(before, after) if prompts and roomy >= least * len(prompts) else None


def _shared(prompts: Sequence[Ids], least: float) -> Ids:
    """Return the longest prefix that at least the share ``least`` begin with."""
    found: Ids = []
    left = [prompt for prompt in prompts if prompt]
    while left:
        token, _ = Counter(prompt[len(found)] for prompt in left).most_common(1)[0]
        there = [prompt for prompt in left if prompt[len(found)] == token]
        if len(there) < least * len(prompts):
            break
        found.append(token)
        left = [prompt for prompt in there if len(prompt) > len(found)]
    return found


def answer_start(row: Row) -> int:
    """Return where a prepared row's first answer token stands; its length where it has none."""
    for name, off in (("labels", IGNORED), ("completion_mask", 0), ("assistant_masks", 0)):
        if name in row:
            marks = list(row[name])
            return next((n for n, mark in enumerate(marks) if mark != off), len(marks))
    return len(row["input_ids"])


def dressed(rows: Sequence[Row], empty: Row, style: Style | None) -> list[Row] | None:
    """Return prepared rows with the style around each request; None where it adds nothing.

    Args:
        rows: Prepared rows of one message each: what the template writes, a request, an answer.
        empty: The same with no request: what the template writes, and an answer.
        style: What stands around the user's requests.
    """
    frame = list(empty["input_ids"])[: answer_start(empty)]
    pairs = [_framed(list(row["input_ids"])[: answer_start(row)], frame) for row in rows]
    if style is None or not pairs or None in pairs:
        return None
    # A request that begins as the template goes on behind it seems to begin later than it does.
    start = min(pair[0] for pair in pairs if pair is not None)
    head, tail = frame[:start], frame[start:]
    plain = style.before == head and style.after == tail
    if plain or not _holds(style.before, head[1:][-_HEADER:]) or not _ends(style.after, tail):
        return None
    return [_put(row, start, len(tail), style) for row in rows]


def _framed(prompt: Ids, frame: Ids) -> tuple[int, int] | None:
    """Return how many tokens of the template stand before and after the request."""
    head = next(
        (n for n, (a, b) in enumerate(zip(prompt, frame, strict=False)) if a != b),
        min(len(prompt), len(frame)),
    )
    tail = len(frame) - head
    fits = len(prompt) >= len(frame) and prompt[len(prompt) - tail :] == frame[head:]
    return (head, tail) if fits else None


def _holds(ids: Ids, part: Ids) -> bool:
    return any(ids[n : n + len(part)] == part for n in range(len(ids) - len(part) + 1))


def _ends(ids: Ids, part: Ids) -> bool:
    return len(ids) >= len(part) and ids[len(ids) - len(part) :] == part


def _put(row: Row, head: int, tail: int, style: Style) -> Row:
    """Return the row with its request between ``style``; marks of a prompt are all alike."""
    start, ids = answer_start(row), list(row["input_ids"])
    prompt = [*style.before, *ids[head : start - tail], *style.after]
    out: Row = {}
    for name, value in row.items():
        if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != len(ids):
            continue  # A column of text says what the row was.
        marks = list(value)
        new = prompt if name == "input_ids" else [marks[0]] * len(prompt)
        out[name] = [*new, *marks[start:]]
    return out
