"""The defender's rows beside a trainer whose own preparation of rows is not for them.

A preference trainer makes pairs, a reward trainer scores, a language-modeling collator labels the
prompt. The defender's Examples mean the same beside each: a prompt, and an answer that is learned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.data.chat import collate, encode
from holdfast.defense import Examples
from holdfast.errors import ModelError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch

__all__ = ["OwnRows"]


@dataclass(frozen=True)
class OwnRows:
    """Encodes and pads the defender's Examples by a trainer's tokenizer, and nothing else of it."""

    tokenizer: Any
    """None where the trainer has none; then only rows of token ids can be used."""
    limit: int | None = None
    """Most tokens of a row; longer ones are cut at their end, as trainers cut the user's."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the trainer gives its chat template beside the messages."""

    def prepare(self, rows: Examples) -> Sequence[Mapping[str, Any]]:
        """Return ``input_ids`` and ``labels`` of every row that keeps a token of its answer."""
        if len(rows) and "input_ids" in rows[0]:
            return [dict(rows[i]) for i in range(len(rows))]
        ready = [self.encoded(dict(rows[i]), f"row {i + 1}") for i in range(len(rows))]
        cut = [{name: values[: self.limit] for name, values in row.items()} for row in ready]
        return [row for row in cut if any(label != IGNORED for label in row["labels"])]

    def encoded(self, row: Mapping[str, Any], where: str) -> dict[str, list[int]]:
        """Return one Example's ids and labels, uncut.

        Raises:
            DataError: It has no prompt or no completion.
            ModelError: There is no tokenizer, or it has no chat template.
        """
        if self.tokenizer is None:
            raise ModelError(
                "the trainer has no tokenizer to read the defender's rows with; give it "
                "processing_class= (the model's tokenizer)"
            )
        tokenizer = _Templated(self.tokenizer, self.options) if self.options else self.tokenizer
        return encode(row, tokenizer, None, where=where)

    def collate(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Pad rows to one batch; rows of token ids that came without labels are learned whole."""
        return collate([{"labels": row["input_ids"], **row} for row in rows], self._pad_id)

    @property
    def _pad_id(self) -> int:
        ids = (getattr(self.tokenizer, f"{name}_token_id", None) for name in ("pad", "eos"))
        return next((int(i) for i in ids if i is not None), 0)


class _Templated:
    """A tokenizer that renders with the trainer's own options."""

    def __init__(self, tokenizer: Any, options: Mapping[str, Any]) -> None:
        self._tokenizer, self._options = tokenizer, dict(options)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> Any:
        """Render as the tokenizer does, with the options."""
        return self._tokenizer.apply_chat_template(*args, **{**self._options, **kwargs})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)
