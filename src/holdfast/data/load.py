"""Load examples from a JSONL, CSV or Parquet file or from the hub.

The network is reached only for a source that reads as ``owner/name`` and is no local path.
"""

from collections.abc import Mapping
from itertools import islice
from os import PathLike, fspath
from typing import Any

from datasets import Dataset, Features, Value

from holdfast.data.columns import with_columns
from holdfast.data.examples import EXTRA, check_mapping, columns_of, read_columns, to_example
from holdfast.data.sources import is_kit, rows_in
from holdfast.data.unread import Unread
from holdfast.errors import ConfigError, DataError

__all__ = ["FEATURES", "load_examples", "load_with_notes"]

_MESSAGES = [{"role": Value("string"), "content": Value("string")}]
FEATURES = Features(
    {"prompt": _MESSAGES, "completion": _MESSAGES, "row": Value("int64")}
    | {name: Value("string") for name in EXTRA}
)


def load_examples(
    path_or_hub_id: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    limit: int | None = None,
) -> Dataset:
    """Load examples: ``prompt`` and ``completion`` as messages, ``row`` and a few columns more.

    Args:
        path_or_hub_id: A ``.jsonl``, ``.csv`` or ``.parquet`` file, or ``owner/name`` (or
            ``owner/name:config``) on the hub, with ``::prompt=ask,completion=reply`` behind it
            where its columns are named so. Rows have ``messages``, or ``prompt`` and
            ``completion`` (text or messages), or ``question``/``answer``, ``goal``/``target`` or
            ``instruction``/``output`` (with ``input``). A column ``system`` is read.
        columns: Our names to the file's, such as ``{"prompt": "ask", "completion": "reply"}``.
        split: The hub data set's split; files have none.
        limit: Most rows to read, at least 1; None for all.

    Returns:
        A data set with the columns ``prompt``, ``completion``, ``row`` (its number in the source,
        from 1), ``id``, ``category`` and ``reference`` (None where the source has none).

    Raises:
        DataError: The source cannot be read, or a row is malformed; names the source, the row and
            what to do.
        ConfigError: ``columns`` or ``limit`` is not usable.
    """
    return load_with_notes(path_or_hub_id, columns=columns, split=split, limit=limit)[0]


def load_with_notes(
    path_or_hub_id: str | PathLike[str],
    *,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    limit: int | None = None,
) -> tuple[Dataset, list[str]]:
    """Return the examples, as ``load_examples`` does, and what of the file was not read."""
    source, own = with_columns(fspath(path_or_hub_id))
    columns = None if is_kit(source) else own or columns
    check_mapping(columns, source)
    if limit is not None and limit < 1:
        raise ConfigError(f"`limit={limit}` is out of range, expected at least 1")
    examples: list[dict[str, Any]] = []
    mapping: dict[str, str] = {}
    unread = Unread()
    for row in islice(rows_in(source, split), limit):
        mapping = mapping or columns_of(row, columns)
        examples.append(to_example(row, mapping))
        unread.see(row, read_columns(row, mapping), examples[-1]["prompt"])
    if not examples:
        raise DataError(f"{source}: has no rows: expected at least one example")
    return Dataset.from_list(examples, features=FEATURES), unread.notes()
