"""A JSON file that is one document: a list of rows, or an object that holds such a list."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from holdfast.data.formats.compressed import opened, suffix_of
from holdfast.data.formats.encodings import not_utf8
from holdfast.data.formats.json_lines import json_kind, lines
from holdfast.data.formats.protocol import RawRow
from holdfast.errors import DataError
from holdfast.files.guarded.documents import MOST_BYTES, TwiceError, json_of

__all__ = ["HOLDERS", "Document", "document_of"]

HOLDERS = (
    "data",
    "train",
    "test",
    "validation",
    "rows",
    "examples",
    "instances",
    "records",
    "items",
)
"""Names under which a document holds its rows."""
_OF_A_ROW = frozenset({"messages", "conversations", "prompt", "completion", "instruction"})
"""Names that no document has beside its rows: an object with one is a row itself."""


@dataclass(frozen=True)
class Document:
    """The rows of a document, and where in it they stand."""

    how: str
    items: list[Any]
    beside: tuple[str, ...] = ()
    """Names of what it holds beside the rows."""

    def rows(self, path: Path) -> Iterator[RawRow]:
        """Yield each row; a text is a prompt, and a list a conversation.

        Raises:
            DataError: One is neither, and no object.
        """
        for number, item in enumerate(self.items, start=1):
            place = f"{path}, row {number}"
            if not isinstance(item, dict | str | list):
                said = f"is a JSON {json_kind(item)}: expected an object with the row's columns"
                raise DataError(f"{place}: {said}")
            named = {str: "prompt", list: "messages"}
            values = item if isinstance(item, dict) else {named[type(item)]: item}
            yield RawRow(number, place, values, self.beside)


def document_of(path: Path) -> Document | None:
    """Return the document that a file is, None where it has a row on each line.

    What begins with ``[`` is a document, and so is an object that its first line does not end, or
    that is the only line and holds a list under one of ``HOLDERS``.

    Raises:
        DataError: It is not valid JSON, too large, or holds several lists of rows.
    """
    with opened(path) as file:
        first, *more = [line for _, line in islice(lines(file, path), 2)] or [""]
    start = first.lstrip()[:1]
    if start not in ("[", "{"):
        return None
    try:
        found = json_of(first, once=True) if start == "{" else None
    except json.JSONDecodeError:
        found = None
    except ValueError:
        return None  # Whoever reads the line says what is wrong.
    if found is None:
        return _whole(path)
    return None if more or not isinstance(found, dict) else _held(found, path)


def _whole(path: Path) -> Document | None:
    """Return the document that the whole file is; None leaves its lines to say what is wrong."""
    with opened(path) as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise DataError(
            f"{path}: is one JSON document of more than {MOST_BYTES // 2**20} MiB: write one JSON "
            "object per line"
        )
    try:
        found = json_of(raw.decode("utf-8-sig"), once=True)
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), path, error) from error
    except json.JSONDecodeError as error:
        if suffix_of(path) != ".json" or raw.count(b"\n") < 2:
            return None
        said = f"is not valid JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        raise DataError(f"{path}: {said}: write one document, or one object per line") from error
    except TwiceError as error:
        raise DataError(f"{path}: an object of it {error}: keep one") from error
    except ValueError:
        return None
    if isinstance(found, list):
        return Document("JSON, an array of rows", found)
    return _held(found, path) or Document("JSON, one object", [found])


def _held(found: dict[str, Any], path: Path) -> Document | None:
    lists = [name for name in HOLDERS if isinstance(found.get(name), list)]
    if _OF_A_ROW & found.keys():
        return None
    if len(lists) > 1:
        said = f"holds the lists {' and '.join(map(repr, lists))}: write the one that is meant"
        raise DataError(f"{path}: {said} into a file of its own")
    if not lists:
        return None
    [holder] = lists
    beside = tuple(name for name, value in found.items() if name != holder and value)
    return Document(f"JSON, an object with rows in {holder!r}", found[holder], beside)
