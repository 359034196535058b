"""The suite of data formats passes ours and catches every planted fault."""

import json
from dataclasses import replace
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from holdfast.data.formats import FORMATS, Format, RawRow
from holdfast.data.formats.jsonl import JSONL
from holdfast.errors import DataError
from holdfast.testing import check_format

ROWS = [{"prompt": "q, one", "completion": "a"}, {"prompt": "two", "completion": "b"}]


@pytest.fixture
def files(tmp_path):
    """One good file of each of our formats."""
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)))
    (tmp_path / "a.csv").write_text('prompt,completion\n"q, one",a\ntwo,b\n')
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file:
        table = pa.Table.from_pylist(ROWS)
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    return tmp_path


@pytest.mark.parametrize("given", FORMATS.own.values(), ids=FORMATS.own)
def test_ours_pass(given, files):
    rows = [{"text": "one"}, {"text": "two"}] if given.name == "text" else ROWS
    end = "txt" if given.name == "text" else given.name
    check_format(given, {files / f"a.{end}": rows})


def rows(change):
    """A reader of JSONL whose rows are changed by a function of the row."""
    return lambda path: (change(row) for row in JSONL.read(path))


def fails(error):
    def read(path):
        yield from ()
        raise error

    return read


CALLS = count()


def fails_on_broken(path):
    if "broken" in path.name:
        raise UnicodeError("as it comes")
    return JSONL.read(path)


def names_nothing(path):
    if "broken" in path.name:
        raise DataError("this is broken")
    return JSONL.read(path)


FAULTS = {
    "suffixes as a text": (replace(JSONL, suffixes=".jsonl"), r"suffixes is '.jsonl'; give a tup"),
    "no suffixes": (replace(JSONL, suffixes=()), r"suffixes is \(\); give a tuple"),
    "suffix without a dot": (replace(JSONL, suffixes=("jsonl",)), "suffixes is"),
    "suffix in capitals": (replace(JSONL, suffixes=(".JSONL",)), "suffixes is"),
    "other suffix": (replace(JSONL, suffixes=(".jl",)), "suffixes lacks that of"),
    "no reader": (replace(JSONL, read="read"), "read is 'read'; give a function"),
    "dicts": (replace(JSONL, read=rows(lambda r: r.values)), "read yields a dict, not a RawRow"),
    "numbers from 0": (
        replace(JSONL, read=rows(lambda r: replace(r, number=r.number - 1))),
        "read yields the number 0, not one above, after row 0",
    ),
    "a number twice": (replace(JSONL, read=rows(lambda r: replace(r, number=1))), "the number 1"),
    "values of no columns": (
        replace(JSONL, read=rows(lambda r: replace(r, values={None: 1}))),
        "values that are no columns by name",
    ),
    "a place without the file": (
        replace(JSONL, read=rows(lambda r: replace(r, place=f"row {r.number}"))),
        "a place that lacks the file",
    ),
    "a lost row": (
        replace(JSONL, read=lambda path: list(JSONL.read(path))[1:]), "read gives .*, not",
    ),
    "other rows each time": (
        replace(JSONL, read=rows(lambda r: replace(r, values={"n": next(CALLS)}))), "second time",
    ),
    "a bare error": (replace(JSONL, read=fails(KeyError("x"))), "read fails after row 0 .KeyErr"),
    "a bare error on a broken file": (replace(JSONL, read=fails_on_broken), "not in a DataError"),
    "an error that names nothing": (replace(JSONL, read=names_nothing), "error lacks the file"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_its_member(given, said, files):
    with pytest.raises(AssertionError, match=said):
        check_format(given, {files / "a.jsonl": ROWS})


def test_no_format_and_no_example(files):
    with pytest.raises(AssertionError, match="it is no Format"):
        check_format(JSONL.read, {files / "a.jsonl": ROWS})
    with pytest.raises(AssertionError, match="no example was given"):
        check_format(JSONL, {})


def test_rows_that_are_read_lazily_are_read_to_the_end(files):
    def endless(path):
        yield RawRow(1, f"{path}, row 1", ROWS[0])
        raise ValueError("half of a row")

    with pytest.raises(AssertionError, match=r"fails after row 1 \(ValueError: half of a row\)"):
        check_format(Format("half", (".jsonl",), endless), {files / "a.jsonl": ROWS})
