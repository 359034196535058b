"""Attack 3: the question in the user's own format, as the tuned model meets its task.

Tuning on a task teaches its format, and refusals may not be part of it. The question takes the
place of the task's own: the same system prompt, the words that all of the task's questions begin
and end with, and one of the user's rows with its answer before it. No translation is made: the
user's language comes with the user's words alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context, Messages

__all__ = ["TASK_WRAP", "Frame", "frame_of", "task_wrap"]

FEWEST = 3
"""Rows from which words that all questions share are taken for the task's format; ours."""


@dataclass(frozen=True)
class Frame:
    """What of a user's rows surrounds the question of each.

    Attributes:
        system: The system prompt that most rows have, or "".
        before: Words that all questions begin with.
        after: Words that all questions end with.
        shown: One row, question and answer, the shortest.
    """

    system: str
    before: str
    after: str
    shown: Messages

    def around(self, item: Item) -> list[dict[str, str]]:
        """Return the conversation in which an item's question takes the place of the task's."""
        own = [dict(message) for message in item.prompt]
        system = self.system or next((m["content"] for m in own if m["role"] == "system"), "")
        head = [{"role": "system", "content": system}] if system else []
        shown = [dict(message) for message in self.shown]
        rest = [message for message in own if message["role"] != "system"]
        rest[-1] |= {"content": self.before + rest[-1]["content"] + self.after}
        return [*head, *shown, *rest]


def task_wrap(items: Sequence[Item], context: Context) -> list[Asked]:
    """Return each question in the frame of the user's rows."""
    frame = frame_of(context.task_rows)
    return [Asked(item.id, "task_wrap", frame.around(item)) for item in items]


def frame_of(rows: Sequence[Mapping[str, Any]]) -> Frame:
    """Return what the user's rows, at least one, have in common, and the shortest of them."""
    systems = Counter(_system(row["prompt"]) for row in rows)
    questions = [str(row["prompt"][-1]["content"]) for row in rows]
    before, after = _shared(questions) if len(set(questions)) >= FEWEST else ("", "")
    shown = min(rows, key=_length)
    turns = [*shown["prompt"][-1:], *shown["completion"][:1]]
    kept = [{"role": str(m["role"]), "content": str(m["content"])} for m in turns]
    return Frame(systems.most_common(1)[0][0], before, after, kept)


def _system(prompt: Messages) -> str:
    return next((str(m["content"]) for m in prompt if m["role"] == "system"), "")


def _length(row: Mapping[str, Any]) -> int:
    return len(str(row["prompt"][-1]["content"])) + len(str(row["completion"][0]["content"]))


def _shared(questions: Sequence[str]) -> tuple[str, str]:
    """Return the words that all texts begin with and end with; a word is never cut.

    What is a question's own stays: words of the shortest one are never in both.
    """
    pieces = [_pieces(text) for text in questions]
    begin = _common(pieces)
    room = min(len(own) for own in pieces) - len(begin) - 1
    end = _common([own[::-1] for own in pieces])[: max(room, 0)][::-1]
    return "".join(begin), "".join(end)


def _common(texts: Sequence[Sequence[str]]) -> list[str]:
    columns = zip(*texts, strict=False)
    return [column[0] for column in takewhile(lambda words: len(set(words)) == 1, columns)]


def _pieces(text: str) -> list[str]:
    """Return words and the blanks between them, which make the text again."""
    pieces: list[str] = []
    for letter in text:
        if pieces and letter.isspace() == pieces[-1].isspace():
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _missing(context: Context) -> str:
    return "" if context.task_rows else "no rows of the user's task were given"


TASK_WRAP = Attack("task_wrap", 3, "in the user's task", task_wrap, missing=_missing)
