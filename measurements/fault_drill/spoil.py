"""Ways to spoil a value, a JSON document, a text and bytes; all from one random generator."""

import json
import random
from collections.abc import Callable
from typing import Any

__all__ = ["WORDS", "spoiled_bytes", "spoiled_json", "spoiled_text", "strange"]

WORDS = (
    "", " ", "-", "--", "0", "-1", "1", "2", "0.5", "-0.0", "nan", "inf", "-inf", "1e400", "1e-400",
    "x", "true", "null", "None", "[]", "{}", "[1", "'", '"', "\\", "/", ".", "..", "~", "*", "%s",
    "{0}", "$HOME", "`x`", "a,b", "a=b", "=", ":", ",", ":=", "١٢", "²", "\uff11", "0x10", "1_000",
    "1e3", "1,5", "é", "🙂", "\u202e", "\x1b[31m", "\x1b]0;t\x07", "\x7f", "\t", "a\nb", "\udcff",
    "n" * 300, "org/name", "http://x.y/z", "organism", "model", "data.jsonl", "nowhere",
)  # fmt: skip
_DEEP = 3000


def strange(rng: random.Random) -> Any:
    """Return a value that few places of a document expect."""
    return rng.choice(
        [
            None, True, False, 0, -1, 1, 2, 7, 0.5, -0.5, 10**7, 10**30, -(10**30), 1e300,
            float("nan"), float("inf"), "", "x", "0", "1e9", "a" * 5000, "\ud800", "\x1b[31m", "\0",
            [], {}, [[]], [None], {"": None}, [0] * 1000, {"a": {"b": {}}}, ["x", 1, None],
            rng.choice(WORDS), _nested(rng),
        ]
    )  # fmt: skip


def _nested(rng: random.Random) -> Any:
    value: Any = rng.choice([[], {}, "x"])
    for _ in range(rng.choice([5, 60])):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def spoiled_json(rng: random.Random, document: Any) -> str:
    """Return the document's text with one to three of its values changed."""
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        document = _changed(rng, document)
    text = json.dumps(document)
    if rng.random() < 0.1:
        return spoiled_text(rng, text)
    if rng.random() < 0.03:
        return "[" * _DEEP * 20 + text
    return text


def _changed(rng: random.Random, value: Any) -> Any:
    """Return a copy with one value somewhere below replaced, dropped, doubled or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        if rng.random() < 0.35 or not isinstance(value[key], dict | list):
            what = rng.random()
            old = changed.pop(key)
            if what < 0.6:
                changed[key] = strange(rng)
            elif what < 0.8:
                changed[rng.choice([f"{key}s", "x", "", "auto_map"])] = old
            return changed
        changed[key] = _changed(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(rng, value[place]), *value[place + rng.choice([0, 1]) :]]
    return strange(rng)


def spoiled_text(rng: random.Random, text: str) -> str:
    """Return the text cut, doubled, with something in it, or replaced."""
    place = rng.randrange(len(text) + 1)
    ways: list[Callable[[], str]] = [
        lambda: text[:place],
        lambda: text[place:],
        lambda: text + text,
        lambda: text[:place] + rng.choice(WORDS) + text[place:],
        lambda: text[:place] + text[place + rng.randrange(1, 20) :],
        lambda: rng.choice(WORDS),
        lambda: "\ufeff" + text,
        lambda: text.replace(rng.choice(text or "x"), rng.choice(WORDS)),
        lambda: text.replace("\n", "\r"),
        text.upper,
    ]
    return rng.choice(ways)()


def spoiled_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return the bytes with some changed, cut, or written in another encoding."""
    place = rng.randrange(len(content) + 1)
    noise = rng.randbytes(rng.choice([1, 8, 64]))
    ways: list[Callable[[], bytes]] = [
        lambda: content[:place],
        lambda: content[:place] + noise + content[place + len(noise) :],
        lambda: noise + content,
        lambda: content + noise,
        lambda: b"",
        lambda: b"\0" * len(content),
        lambda: content.decode("latin-1").encode("utf-16"),
        lambda: b"\x1f\x8b\x08" + content,
        lambda: content[:place] + b"\xff\xfe" + content[place:],
        lambda: noise,
    ]
    return rng.choice(ways)()
