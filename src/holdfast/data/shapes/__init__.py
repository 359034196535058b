"""Shapes of rows: ours, and those that other packages declare, found by a row's columns."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.formats.protocol import RawRow
from holdfast.data.shapes.conversation import conversation
from holdfast.data.shapes.message import Message
from holdfast.data.shapes.messages import MESSAGES
from holdfast.data.shapes.pairs import ALPACA, PROMPT_COMPLETION, pair
from holdfast.data.shapes.preferences import OPENAI_PREFERENCES, PREFERENCES
from holdfast.data.shapes.prompts_only import PROMPTS, TEXT
from holdfast.data.shapes.protocol import GROUP, Shape, found_in, shape_fault
from holdfast.data.shapes.sharegpt import SHAREGPT
from holdfast.files.entry_points import Registry

__all__ = ["MAPPED", "SHAPES", "Shape", "columns_of", "shape_of"]

_TALKS = (MESSAGES, SHAREGPT, PREFERENCES, OPENAI_PREFERENCES)
_PAIRS = (ALPACA, PROMPT_COMPLETION)
_BARE = (PROMPTS, TEXT)
_OWN = {one.name: one for one in (*_TALKS, *_PAIRS, *_BARE)}
SHAPES: Registry[Shape] = Registry(GROUP, "shape", _OWN, shape_fault)


def shape_of(values: Mapping[str, Any], *, answers: bool = True) -> Shape | None:
    """Return the first shape that a row of these values has, None for none.

    Args:
        values: The row's values by column.
        answers: Whether answers are wanted; else a column of prompts is enough, whatever else the
            row has.
    """
    installed = tuple(one for name, one in SHAPES.all().items() if name not in _OWN)
    order = (*_TALKS, *_PAIRS, *installed, *_BARE) if answers else (*_TALKS, *installed, *_BARE)
    return next((one for one in order if columns_of(one, values) is not None), None)


def columns_of(shape: Shape, values: Mapping[str, Any]) -> dict[str, str] | None:
    """Return which column of a row holds what, None where it has another shape.

    Raises:
        DataError: An installed shape fails.
    """
    return shape.columns(values) if shape.name in _OWN else found_in(shape, values)


def _mapped(row: RawRow, columns: Mapping[str, str]) -> list[Message]:
    if "messages" in columns:
        return conversation(row, columns["messages"])
    return pair(row, columns)


MAPPED = Shape("columns", "as `columns` says", lambda _: None, _mapped)
"""Rows whose columns the user names."""
