"""Files, folders, patterns and lists; and for what is none of them, or damaged, one clear line."""

import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from holdfast.bench.recipe.files import load_recipe
from holdfast.data.formats import compressed
from holdfast.data.load import load_examples, load_with_notes
from holdfast.errors import ConfigError, DataError
from holdfast.files.folders import WholeFolder
from holdfast.inputs.configs import TuneConfig
from holdfast.inputs.read import read

PAIR = {"prompt": "q", "completion": "a"}
LINE = json.dumps(PAIR) + "\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def answers(source, **how):
    return [row["completion"][0]["content"] for row in load_examples(source, **how)]


def write(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def pair(answer):
    return json.dumps({**PAIR, "completion": answer}) + "\n"


DOCUMENTS = {
    "array on a line": "[" + LINE.strip() + "," + LINE.strip() + "]",
    "array on lines": json.dumps([PAIR, PAIR], indent=1),
    "rows in data": json.dumps({"version": "1", "data": [PAIR, PAIR]}),
    "rows in train on lines": json.dumps({"train": [PAIR, PAIR]}, indent=1),
    "lines": LINE + "\n" + LINE,
    "a mark": "\ufeff" + json.dumps([PAIR, PAIR]),
}


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("name", ["d.json", "d.jsonl"])
def test_json_is_read_in_every_form(text, name):
    write(name, text)
    assert answers(name) == ["a", "a"]


def test_a_row_alone_is_a_row():
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    for indent in (None, 1):
        for more in (
            {},
            {"items": [{**PAIR, "completion": "other"}]},
            {"test": [], "examples": []},
        ):
            write("d.json", json.dumps({**row, **more}, indent=indent))
            assert answers("d.json") == ["a"]


TWICE = '{"prompt": "q", "completion": "first", "completion": "a"}'
TALK = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"%s}]}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{LINE}{TWICE}\n", "d.jsonl, row 2: has 'completion' twice, with two values: keep one"),
        (f"{TWICE}\n", "d.jsonl, row 1: has 'completion' twice"),
        (f"[{LINE},{TWICE}]", "d.jsonl: an object of it has 'completion' twice"),
        (f'{{"data": [\n{TWICE}]}}', "d.jsonl: an object of it has 'completion'"),
        (f'{{"data": [{TWICE}]}}', "d.jsonl, row 1: has 'completion' twice"),
        (TALK % ', "content": "b"', "d.jsonl, row 1: has 'content' twice"),
    ],
)
def test_a_name_with_two_values_is_refused(text, said):
    """The first value was lost without a word."""
    write("d.jsonl", text)
    with pytest.raises(DataError, match=f"^{said}"):
        answers("d.jsonl")


def test_a_name_twice_with_one_value_loses_nothing():
    write("d.jsonl", TALK % ', "content": "a"')
    assert answers("d.jsonl") == ["a"]


TABLES = {
    "commas": "prompt,completion\nq,a\n",
    "semicolons": "prompt;completion\nq, and q; a\n".replace("; a", ";a"),
    "tabs": "prompt\tcompletion\nq, one; two\ta\n",
    "bars": "prompt|completion\nq, one|a\n",
    "quoted lines": 'prompt;completion\n"q;\n,,,\nq";a\n',
    "blanks in the header": "prompt, completion\nq,a\n",
    "blanks behind the commas": 'prompt, completion\n"q, one", "a"\n',
    "a quoted header with blanks": '"prompt", "completion"\n"q", "a"\n',
    "blank lines first": "\n\nprompt,completion\nq,a\n",
    "long fields": f"prompt,completion\n{'q ' * 100_000},a\n",
    "UTF-16": "prompt;completion\nqü;a\n".encode("utf-16"),
    "UTF-8 with a mark": "prompt;completion\nqü;a\n".encode("utf-8-sig"),
    "Excel's own first line": "sep=;\r\nprompt;completion\r\nq;a\r\n".encode("utf-8-sig"),
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_the_delimiter_of_a_table_is_found(text):
    write("d.csv", text)
    assert answers("d.csv") == ["a"]


def test_a_delimiter_that_is_declared_wins_and_lines_are_counted_with_it():
    write("d.csv", "sep=;\nprompt,x;completion\nq,q;a\nq,q\n")
    with pytest.raises(DataError, match=r"row 2 \(line 4\): has 1 fields and the header has 2"):
        load_examples("d.csv", columns={"prompt": "prompt,x", "completion": "completion"})


def test_a_table_in_tabs_is_one_in_doubt_too():
    write("d.tsv", "prompt\tthe,completion\nq,q\ta\n")
    assert answers("d.tsv", columns={"prompt": "prompt", "completion": "the,completion"}) == ["a"]


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.txt"])
def test_what_windows_wrote_is_named_and_not_guessed(name):
    text = LINE if name.endswith("l") else "prompt,completion\nq,a\n"
    write(name, text.replace("q", "café").encode("cp1252"))
    with pytest.raises(DataError, match=r"row 1.*byte 0xe9, which cp1252 .*iconv -f cp1252"):
        load_examples(name)


def test_what_powershell_wrote_is_named_as_utf_16():
    write("d.jsonl", LINE.encode("utf-16"))
    with pytest.raises(DataError, match=r"row 1.*UTF-16 by its mark.*iconv -f utf-16"):
        load_examples("d.jsonl")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(LINE.encode(), mtime=0), "is packed with gzip"),
        (b"PAR1 and more", "is a Parquet file"),
    ],
)
def test_what_is_packed_twice_is_not_called_text(content, said):
    write("d.jsonl.gz", gzip.compress(content))
    with pytest.raises(DataError, match=rf"what is packed in it {said}: unpack it"):
        load_examples("d.jsonl.gz")


def test_a_missing_answer_is_no_misspelt_prompt():
    write("d.jsonl", json.dumps({"prompt": "q"}))
    with pytest.raises(DataError, match="'completion' is missing") as caught:
        load_examples("d.jsonl")
    assert "Did you mean" not in str(caught.value)


def test_columns_without_end_are_not_all_named():
    write("d.jsonl", json.dumps({"x" * 10**6: 1, **{f"c{n}": 1 for n in range(1000)}}))
    with pytest.raises(DataError, match=r"9\d\d more") as caught:
        load_examples("d.jsonl")
    write("e.jsonl", json.dumps({**PAIR, "x" * 10**6: 1, **{f"c{n}": 1 for n in range(1000)}}))
    [note] = load_with_notes("e.jsonl")[1]
    assert len(str(caught.value)) < 600
    assert len(note) < 1000
    assert note.endswith("981 more")


def test_both_forms_of_arrow_are_read():
    table = pa.Table.from_pylist([PAIR])
    for name, writer in (("d.arrow", pa.ipc.new_stream), ("d.feather", pa.ipc.new_file)):
        with pa.OSFile(name, "wb") as file, writer(file, table.schema) as out:
            out.write_table(table)
        assert answers(name) == ["a"]


def test_two_columns_of_one_name_are_refused():
    """The first of the two was lost without a word."""
    columns = [pa.array([text]) for text in ("q", "other", "a")]
    table = pa.Table.from_arrays(columns, names=["prompt", "prompt", "completion"])
    pq.write_table(table, "a.parquet")
    with pa.OSFile("a.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        with pytest.raises(DataError, match=f"{name}: the column 'prompt' stands twice"):
            load_examples(name)


def test_several_files_are_one_source():
    write("a.jsonl", pair("1") + "\n" + pair("2"))
    write("b.csv", "goal,target\nq,3\n")
    write("c,d.jsonl", pair("4"))
    found, told = load_with_notes("a.jsonl,b.csv")
    assert [row["completion"][0]["content"] for row in found] == ["1", "2", "3"]
    assert found["row"] == [1, 3, 4]
    assert told == ["rows are numbered through its files: a.jsonl 1 to 3, b.csv 4 to 4"]
    assert answers("c,d.jsonl") == ["4"]
    assert answers("*.jsonl") == ["1", "2", "4"]
    assert answers("a.jsonl,b.csv", limit=2) == ["1", "2"]


def test_columns_may_stand_behind_several_files():
    write("a.jsonl", json.dumps({"x": "q", "y": "1"}))
    write("b.jsonl", json.dumps({"x": "q", "y": "2"}))
    assert answers("a.jsonl,b.jsonl::prompt=x,completion=y") == ["1", "2"]


def test_a_folder_of_the_hub_s_form_is_read():
    write("set/README.md", "# x")
    write("set/.gitattributes", "x")
    write("set/data/train-1.jsonl", pair("1"))
    write("set/data/test-1.jsonl", pair("2"))
    assert answers("set") == ["1"]
    assert answers("set", split="test") == ["2"]


@pytest.mark.parametrize("source", ["a.jsonl", "a.jsonl,b.jsonl", "?.jsonl", "flat", "one", "set"])
def test_a_split_that_is_asked_for_and_is_not_there_is_refused(source):
    """The rows of the training split were taken for those of the test split, without a word."""
    for name in ("a.jsonl", "b.jsonl", "flat/x.jsonl"):
        write(name, pair("1"))
    dictionary("train")()
    Dataset.from_list([PAIR]).save_to_disk("one")
    assert answers(source)
    with pytest.raises(DataError, match=r"split"):
        answers(source, split="test")
    write("test.jsonl", pair("2"))
    assert answers("test.jsonl", split="test") == answers("test.jsonl") == ["2"]


def dictionary(*names):
    return lambda: DatasetDict({n: Dataset.from_list([PAIR]) for n in names}).save_to_disk("set")


def saved_then(change):
    def made():
        Dataset.from_list([PAIR]).save_to_disk("set")
        change(Path("set"))

    return made


def two_schemas():
    for name, row in (("a.arrow", PAIR), ("b.arrow", {"x": 1})):
        table = pa.Table.from_pylist([row])
        with pa.OSFile(name, "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
            out.write_table(table)


def files(**named):
    def made():
        for name, content in named.items():
            write(name.replace("__", "/").replace("_", "."), content)

    return made


ZST = pa.compress(LINE.encode() * 99, "zstd", asbytes=True)
GZ = gzip.compress(LINE.encode() * 99)
BAD = {
    "a folder without data": (files(set__x_pdf="x"), "set", "set: the folder holds no data file"),
    "an empty folder": (lambda: Path("set").mkdir(), "set", "set: the folder holds no data file"),
    "two formats": (
        files(set__a_csv="x", set__b_jsonl=LINE), "set",
        r"set: holds files of two formats \(a.csv, b.jsonl\): give .* such as 'set/\*\.csv'",
    ),
    "no such split": (
        files(set__test_jsonl=LINE, set__dev_jsonl=LINE), "set",
        "set: has the splits validation, test and not 'train'",
    ),
    "some named by a split": (
        files(set__test_jsonl=LINE, set__a_jsonl=LINE), "set",
        "test.jsonl is named after a split and a.jsonl is not",
    ),
    "a pattern of nothing": (files(a_csv="x"), "*.jsonl", r"\*.jsonl: no file fits the pattern"),
    "one of several missing": (files(a_jsonl=LINE), "a.jsonl,b.jsonl", "^b.jsonl: file not found"),
    "the second of two files": (
        files(a_jsonl=LINE, b_jsonl='{"text": "x"}'), "a.jsonl,b.jsonl", "^b.jsonl, row 1: 'text' ",
    ),
    "a truncated gz": (files(a_jsonl_gz=GZ[:-9]), "a.jsonl.gz", "a.jsonl.gz: is cut off"),
    "a truncated zst": (files(a_jsonl_zst=ZST[:-3]), "a.jsonl.zst", "a.jsonl.zst: is cut off"),
    "a wrong gz": (files(a_jsonl_gz=LINE), "a.jsonl.gz", "is no whole gzip file"),
    "a wrong zst": (files(a_jsonl_zst=GZ), "a.jsonl.zst", "is no whole zstd file"),
    "a damaged gz": (
        files(a_csv_gz=GZ[:-8] + b"abcd" + GZ[-4:]), "a.csv.gz", "is no whole gzip file",
    ),
    "a packed file without its end": (files(a_jsonl=GZ), "a.jsonl", "let its name end in .gz"),
    "a packed table": (files(a_parquet_gz=GZ), "a.parquet.gz", ".parquet is read unpacked"),
    "a zip": (files(a_zip=b"PK\3\4"), "a.zip", "a.zip: is a zip archive: unpack it"),
    "a zip by another name": (files(a_csv=b"PK\3\4"), "a.csv", "is a zip archive or an Excel file"),
    "an Excel file": (files(a_xlsx=b"PK\3\4"), "a.xlsx", "is an Excel file: save it as CSV"),
    "a pickle": (files(a_pkl=b"\x80\4."), "a.pkl", "is a pickle, which can run code"),
    "a pointer": (files(a_jsonl="version https://git-lfs.github.com"), "a.jsonl", "git lfs pull"),
    "Parquet by another name": (files(a_jsonl=b"PAR1"), "a.jsonl", "let its name end in .parquet"),
    "broken JSON": (
        files(a_json='[\n{"prompt": "q"},\n{"prompt" "q"}\n]'), "a.json",
        "a.json: is not valid JSON .*at line 3, column 11",
    ),
    "an array cut off": (files(a_jsonl='[{"prompt": "q"}'), "a.jsonl", "row 1: is not valid JSON"),
    "numbers in an array": (files(a_json="[1]"), "a.json", "row 1: is a JSON number: expected an"),
    "two lists": (
        files(a_json='{"train": [], "test": []}'), "a.json", "holds the lists 'train' and 'test'",
    ),
    "Arrow of two schemas": (two_schemas, "*.arrow", "b.arrow, row 1: column .* missing"),
    "Arrow that is none": (files(a_arrow="x" * 99), "a.arrow", "is not a readable Arrow file"),
    "splits without train": (dictionary("a", "b"), "set", "has the splits a, b and not 'train'"),
    "saved without its file": (
        saved_then(lambda p: next(p.glob("*.arrow")).unlink()), "set", "no whole folder of s",
    ),
    "saved with a broken file": (
        saved_then(lambda p: next(p.glob("*.arrow")).write_text("x")), "set", "set: is no",
    ),
    "saved with a broken state": (
        saved_then(lambda p: (p / "state.json").write_text("{")), "set", "set: is no whole folder",
    ),
    "saved with broken splits": (
        lambda: (dictionary("train")(), write("set/dataset_dict.json", "{}")), "set",
        "set/dataset_dict.json: names no splits",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "source", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_gets_one_line(made, source, said):
    made()
    with pytest.raises(DataError, match=said) as caught:
        load_examples(source)
    assert "\n" not in str(caught.value)


def test_folders_that_are_not_read_are_told():
    """Files of a folder in the folder were left out without a word, and so were a pattern's."""
    for name in ("set/a.jsonl", "set/more/b.jsonl", "set/.git/c.jsonl"):
        write(name, LINE)
    for source in ("set", "set/[am]*"):
        found, notes = load_with_notes(source)
        assert (len(found), notes) == (1, ["not read: more/"])
    write("hub/data/a.jsonl", LINE)
    write("hub/old/b.jsonl", LINE)
    assert load_with_notes("hub")[1] == ["not read: old/"]
    Path("hub/data/b.jsonl").symlink_to("gone.jsonl")
    assert load_with_notes("hub")[1] == ["not read: b.jsonl", "not read: old/"]


def test_one_split_alone_is_read():
    dictionary("test")()
    assert answers("set") == ["a"]
    shutil.rmtree("set")
    write("set/test.jsonl", LINE)
    assert answers("set") == ["a"]


@pytest.mark.parametrize("end", ["gz", "zst"])
def test_a_bomb_is_not_unpacked_to_its_end(end, monkeypatch):
    monkeypatch.setattr(compressed, "FREE", 2**16)
    raw = b" " * 2**24
    packed = gzip.compress(raw) if end == "gz" else pa.compress(raw, "zstd", asbytes=True)
    write(f"a.jsonl.{end}", packed)
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        load_examples(f"a.jsonl.{end}")


def test_a_table_that_unpacks_to_more_is_no_text(monkeypatch):
    monkeypatch.setattr(compressed, "FREE", 2**16)
    monkeypatch.setattr(compressed, "MOST_TIMES", 20)
    table = pa.table({"prompt": ["q" * 999] * 9999, "completion": ["a"] * 9999})
    pq.write_table(table, "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: unpacks to more"):
        load_examples("a.parquet")


def test_a_text_that_is_no_path_is_refused():
    with pytest.raises(ConfigError, match="too long for a path"):
        load_examples("x" * 5000)


def test_no_output_may_replace_one_of_several_files():
    """The output's folder holds a file of the list, or one that fits the pattern."""
    write("out/b.jsonl", LINE)
    write("a.jsonl", LINE)
    for given in ("a.jsonl,out/b.jsonl", "out/*.jsonl", "a.jsonl, out/*.jsonl"):
        config = TuneConfig(model="m", data=given, output=Path("out"), overwrite=True)
        with pytest.raises(ConfigError, match=r"out`: holds .*b\.jsonl"):
            read(config, WholeFolder(config.output, overwrite=True), lambda *_: None)
    assert Path("out/b.jsonl").read_text() == LINE


def test_a_recipe_names_several_files_from_its_folder():
    write("r/a.jsonl", LINE)
    write("r/b.jsonl", LINE)
    write("r/r.yaml", "files: {task: 'a.jsonl,b.jsonl::prompt=prompt', attack: '*.jsonl'}")
    found = load_recipe("r/r.yaml")["files"]
    here = Path("r").resolve()
    assert found["task"] == f"{here}/a.jsonl,{here}/b.jsonl::prompt=prompt"
    assert found["attack"] == f"{here}/*.jsonl"
    assert answers(found["attack"]) == ["a", "a"]


def test_what_a_column_makes_null_is_left_out():
    """A column of objects has all fields of all rows: a tool must not get another's parameters."""

    def row(name):
        schema = {"type": "object", "properties": {name: {"type": "string"}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        return {**PAIR, "tools": [tool]}

    pq.write_table(pa.Table.from_pylist([row("x"), row("y")]), "a.parquet")
    found = [json.loads(rich)["tools"] for rich in load_examples("a.parquet")["rich"]]
    assert found == [row("x")["tools"], row("y")["tools"]]
