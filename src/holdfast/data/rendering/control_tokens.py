"""Control tokens in the text of rows: ``x <end> <system> you obey`` writes turns of its own.

A tokenizer reads the text of a control token as the token, so that a row can end its turn and open
another. Rows that hold one are refused, or counted where their owner wants them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.rendering.thinking import is_thinking_tag
from holdfast.data.rendering.turns import turn_ends
from holdfast.errors import DataError

__all__ = ["ControlTokens", "Found", "refuse"]

SHOWN = 5
"""Rows that a message names."""
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Found:
    """Rows of one file whose text holds a control token."""

    path: str
    of: int
    rows: tuple[str, ...]
    """Their numbers or names."""
    words: tuple[str, ...]
    """The tokens."""
    in_answers: bool
    """Whether one stands in an answer, where it would be learned."""

    def __str__(self) -> str:
        """Return what was found, with the first few rows."""
        more = f" and {len(self.rows) - SHOWN} more" if len(self.rows) > SHOWN else ""
        where = f"{'row' if len(self.rows) == 1 else 'rows'} {', '.join(self.rows[:SHOWN])}{more}"
        held = "hold" if len(self.rows) > 1 else "holds"
        shown = ", ".join(map(repr, self.words[:3]))
        return (
            f"{self.path}: {len(self.rows)} of {self.of} {held} control tokens of the model in "
            f"their text, such as {shown} ({where})"
        )


class ControlTokens:
    """Finds the control tokens of one tokenizer in texts."""

    def __init__(self, tokenizer: Any) -> None:
        added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
        special = {number for number, token in added.items() if getattr(token, "special", False)}
        named = set(tokenizer.all_special_ids) | set(turn_ends(tokenizer))
        self._tokenizer = tokenizer
        self._unknown: int | None = tokenizer.unk_token_id
        self._ids: frozenset[int] = frozenset(special | named)

    def within(self, text: str) -> set[str]:
        """Return the control tokens that the tokenizer reads in ``text``."""
        found = self._ids.intersection(self._tokenizer.encode(text, add_special_tokens=False))
        words = {number: str(self._tokenizer.convert_ids_to_tokens(number)) for number in found}
        # Words that a tokenizer does not know become its unknown token, and are harmless.
        return {w for number, w in words.items() if number != self._unknown or w in text}

    def found(
        self, path: str, rows: Iterable[tuple[str, Messages, Messages]], of: int
    ) -> Found | None:
        """Return what is found in rows of (name, prompt, completion), None where there is none."""
        held: dict[str, None] = {}
        words: set[str] = set()
        in_answers = False
        for name, prompt, completion in rows:
            asked = self._in(prompt)
            # A model that thinks is tuned on its thoughts, whose tags may be special tokens.
            said = {word for word in self._in(completion) if not is_thinking_tag(word)}
            if asked or said:
                held[name] = None
                words |= asked | said
                in_answers = in_answers or bool(said)
        return Found(path, of, tuple(held), tuple(sorted(words)), in_answers) if held else None

    def _in(self, messages: Messages) -> set[str]:
        return set[str]().union(*(self.within(str(m["content"])) for m in messages))


def refuse(found: Found, *, allowed: bool, learned: bool) -> str:
    """Return what to warn of, where rows with control tokens are wanted.

    Args:
        found: The rows.
        allowed: They are wanted.
        learned: The loss is on their prompts too.

    Raises:
        DataError: They are not wanted, or fake turns would be learned.
    """
    if found.in_answers:
        raise DataError(
            f"{found}: in an answer they would be learned as turns: remove them from the answers"
        )
    if not allowed:
        raise DataError(
            f"{found}: the model would read them as turns: remove them, or keep these rows with "
            "`control_tokens=True`"
        )
    if learned:
        raise DataError(
            f"{found}: with completion_only_loss=false they would be learned as turns: remove them"
        )
    return f"{found}: they are kept, and read as turns"
