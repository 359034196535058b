"""JSON: one object per line, blank lines skipped and counted; or one document with all rows."""

from collections.abc import Iterator
from pathlib import Path

from holdfast.data.formats.compressed import opened
from holdfast.data.formats.json_documents import document_of
from holdfast.data.formats.json_lines import json_object, lines
from holdfast.data.formats.protocol import Format, RawRow

__all__ = ["JSONL"]


def _read(path: Path) -> Iterator[RawRow]:
    found = document_of(path)
    if found is not None:
        yield from found.rows(path)
        return
    with opened(path) as file:
        for number, line in lines(file, path):
            place = f"{path}, row {number}"
            yield RawRow(number, place, json_object(line, place))


def _how(path: Path) -> str:
    found = document_of(path)
    return "JSONL, one object a line" if found is None else found.how


JSONL = Format("jsonl", (".jsonl", ".json", ".ndjson"), _read, _how)
