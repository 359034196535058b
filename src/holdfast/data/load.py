"""Load examples from data files, in any format and shape that is known, or from the hub.

The network is reached only for a source that reads as ``owner/name`` and is no local path.
"""

from collections.abc import Mapping
from itertools import islice
from os import PathLike, fspath
from typing import Any

from datasets import Dataset, Features, Value

from holdfast.data.columns import with_columns
from holdfast.data.examples import check_mapping, to_example
from holdfast.data.kits import is_kit
from holdfast.data.rows import Rows
from holdfast.data.shapes.reader import EXTRA
from holdfast.data.unread import Unread
from holdfast.data.unwanted import Unwanted
from holdfast.errors import ConfigError, DataError

__all__ = ["FEATURES", "load_examples", "load_with_notes"]

_MESSAGES = [{"role": Value("string"), "content": Value("string")}]
FEATURES = Features(
    {"prompt": _MESSAGES, "completion": _MESSAGES, "rich": Value("string"), "row": Value("int64")}
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
        path_or_hub_id: A data file (JSONL, JSON, CSV, TSV, Parquet, Arrow; text forms also with
            ``.gz`` or ``.zst``), a folder of files or of ``save_to_disk``, a pattern such as
            ``data/*.jsonl``, several files with commas, or ``owner/name`` (or
            ``owner/name:config``) on the hub; with ``::prompt=ask,completion=reply`` behind it
            where its columns are named so. Rows have a shape of ``holdfast.data.shapes``:
            ``messages``, ShareGPT's ``conversations``, a prompt and its answer under the names of
            public data sets, Alpaca's three columns, preferences. A column ``system`` is read.
        columns: Our names to the file's, such as ``{"prompt": "ask", "completion": "reply"}``.
        split: The split of a hub data set, or of a folder that has several.
        limit: Most rows to read, at least 1; None for all.

    Returns:
        A data set with the columns ``prompt``, ``completion``, ``rich`` (see
        ``holdfast.data.examples``), ``row`` (its number in the source, from 1), ``id``,
        ``category`` and ``reference`` (None where the source has none).

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
    unread, unwanted = Unread(), Unwanted(source)
    rows = Rows(source, columns, split)
    for row, reader in islice(rows, limit):
        example = to_example(row, reader.messages(row), reader.columns)
        if not unwanted.has(row, reader):
            examples.append(example)
        unread.see(row, reader.read(row) | unwanted.columns)
    left_out = unwanted.notes()
    if not examples:
        raise DataError(f"{source}: has no rows: expected at least one example")
    return Dataset.from_list(examples, features=FEATURES), [
        *rows.told(),
        *left_out,
        *unread.notes(),
    ]
