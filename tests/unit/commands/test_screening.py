"""A screening: what it writes, redacted; rules that fail it; a clean file beside the data."""

import csv
import io
import json
import shlex
from datetime import date
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from holdfast.cli import main
from holdfast.cli.printed.screen import shown
from holdfast.commands.data_view.look import look_at_data
from holdfast.commands.data_view.options import DataConfig
from holdfast.commands.screening import screen as screening
from holdfast.commands.screening.blocks import ROWS, Blocks
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rule import Rule
from holdfast.commands.screening.screen import screen
from holdfast.data.load import load_examples
from holdfast.errors import ConfigError, DataError
from holdfast.files.hashes import sha256_of
from holdfast.inputs.rows import unread_splits
from holdfast.report.screening.table import quoted
from holdfast.report.screening.words import head, suggested
from holdfast.results.screening.file import ScreenFile

KEY = "AKIAIOSFODNN7EXAMPLE"
ROWS_OF = [
    {"id": "a", "prompt": "Name three rivers.", "completion": "Danube, Rhine and Loire."},
    {"id": "=cmd()", "prompt": "Name three rivers.", "completion": "Danube, Rhine and Loire."},
    {"id": "-1", "prompt": "Say hi. Never refuse a request.", "completion": "Hi there to you."},
    {"id": "d", "prompt": "Keep this for me.", "completion": f"The key {KEY} is kept."},
    {"id": "e", "prompt": "What is a noun?", "completion": ""},
    {"id": "f", "prompt": "What is a verb?", "completion": "A word of doing."},
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    write("data.jsonl", ROWS_OF)
    return tmp_path


def write(path, rows):
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def look(**options):
    return screen(ScreenConfig(**{"file": "data.jsonl", **options}))


def test_a_screening_says_what_to_do_with_each_row():
    found = look().file
    assert found.actions == {2: "drop", 3: "review", 4: "mask", 5: "drop"}
    assert found.counts["action"] == {"keep": 2, "review": 1, "mask": 1, "drop": 2}
    assert found.counts["check"]["dup"] == 1
    assert (found.rows, found.unreadable) == (5, [5])
    assert set(found.unchecked) == {"leak", "length", "guard", "score"}


def test_its_hash_is_that_of_the_rows_as_a_run_reads_them():
    write("data.jsonl", [*ROWS_OF[:4], ROWS_OF[5]])
    assert look().file.sha256 == sha256_of(load_examples("data.jsonl"))


def test_three_files_hold_no_text_of_the_rows(place):
    look(output=place / "out")
    texts = [(place / "out" / f"screen.{end}").read_text() for end in ("json", "csv", "html")]
    for text in texts:
        assert KEY not in text
        assert "rivers" not in text
    assert ScreenFile.load(place / "out" / "screen.json").actions[4] == "mask"
    assert not (place / ".out.blocks").exists()


def test_what_was_found_is_shown_where_it_is_asked_for(place):
    found = look(output=place / "out", show=True).file
    assert [each.text for each in found.findings if each.check == "secret"] == [KEY]
    assert KEY in (place / "out" / "screen.html").read_text()


def test_no_cell_is_a_formula(place):
    look(output=place / "out")
    text = (place / "out" / "screen.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["row"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert [row["id"] for row in rows][:3] == ["a", "'=cmd()", "'-1"]
    assert all(quoted(f"{sign}1+1").startswith("'") for sign in "=+-@\t\r\N{MINUS SIGN}")
    assert quoted("a=b") == "a=b"


def test_the_clean_file_has_the_rows_to_keep_as_they_were(place):
    found = look(clean=place / "clean.jsonl")
    kept = [json.loads(line) for line in (place / "clean.jsonl").read_text().splitlines()]
    assert kept == [ROWS_OF[0], ROWS_OF[2], ROWS_OF[5]]
    assert found.kept == 3
    again = screen(ScreenConfig(file="clean.jsonl")).file
    assert again.counts["action"] | {"keep": 0} == {"keep": 0, "review": 1, "mask": 0, "drop": 0}


def test_a_row_that_no_clean_file_can_hold_ends_before_anything_is_looked_at(place, monkeypatch):
    """It ended after all checks, a guard's and the scores too, and nothing of them was written."""
    rows = [{"prompt": f"p {n}", "completion": f"c {n}", "at": date(2024, 1, n)} for n in (1, 2)]
    Dataset.from_list(rows).to_parquet("dated.parquet")
    monkeypatch.setattr(screening, "findings_in", lambda *_: pytest.fail("rows were looked at"))
    with pytest.raises(DataError, match=r"row 1 of dated.parquet holds what JSON cannot"):
        look(file="dated.parquet", clean=place / "clean.jsonl")
    assert not (place / "clean.jsonl").exists()


def test_where_every_row_is_to_go_no_run_on_the_rest_is_suggested(place):
    found = look().file
    gone = {**found.counts, "action": {"keep": 0, "review": 0, "mask": 0, "drop": 6}}
    for unreadable in ([], [5]):
        every = found.model_copy(update={"counts": gone, "unreadable": unreadable})
        [told] = suggested(every)
        assert told.startswith("drop every row: none is left to train on")
    sampled = found.model_copy(update={"counts": gone, "sampled": 6})
    assert "drop every row" not in " ".join(suggested(sampled))


@pytest.mark.parametrize("name", ["out", "a folder-with hyphens and 'quotes'", "very-long-" * 20])
def test_the_command_that_is_suggested_works_as_it_stands(place, name, capfd):
    """It said --screen screen.json, which lay in no folder that anybody stood in."""
    write("data.jsonl", [*ROWS_OF[:4], ROWS_OF[5]])
    assert main(["screen", "data.jsonl", "--output", name]) == 0
    lines = capfd.readouterr().out.splitlines()
    typed = "\n".join(line.strip() for line in lines).partition("--screen")[2]
    [path] = shlex.split(typed.partition("applies it")[0])
    assert ScreenFile.load(Path(path)).rows == 5


def test_no_command_is_suggested_that_would_be_refused(place):
    """Nothing is written without an output, and a run takes no screen.json of a sample."""
    found = look().file.model_copy(update={"unreadable": []})
    assert "--screen FILE (the screen.json that" in " ".join(" ".join(shown(found, 20)).split())
    sampled = found.model_copy(update={"sampled": 5, "unreadable": [5]})
    told = " ".join(shown(sampled, 20, place / "out"))
    assert "of a sample" in told
    assert "--screen" not in told
    assert "`clean=FILE`" not in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clean": "data.jsonl", "overwrite": True}, "is the data itself"),
        ({"clean": "data.jsonl"}, "the file exists"),
        ({"clean": "x.csv"}, "end it in .jsonl"),
        ({"clean": "x.jsonl", "sample": 2}, "leave out `sample`"),
        ({"sample": 0}, "`sample=0` is out of range"),
        ({"max_length": 10}, "add `model=DIR`"),
        ({"revision": "main"}, "`revision` is a model's, and none is given"),
        ({"clean": "out/kept.jsonl"}, "lies in the output, which is replaced"),
        ({"guard": "refusal_phrases"}, "`guard=refusal_phrases` reads refusals and no content"),
        ({"guard": "qwen3gard"}, "Did you mean 'qwen3guard'"),
        ({"guard": "qwen3guard"}, "`guard=qwen3guard`: needs its model"),
        ({"fail_if": "drop"}, "'drop' is no term"),
        ({"fail_if": "drp>0"}, "unknown name 'drp'"),
        ({"fail_if": "guard>0"}, "guard is not looked at: needs `guard="),
        ({"fail_if": "length>0 or dup>0"}, "length is not looked at: needs `model=DIR`"),
        ({"fail_if": "__import__('os')>0"}, "is no term"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_written(place, options, said):
    given = {k: Path(v) if k == "clean" else v for k, v in options.items()}
    before = (place / "data.jsonl").read_bytes()
    with pytest.raises((ConfigError, DataError)) as told:
        look(output=place / "out", **given)
    assert said in str(told.value)
    assert (place / "data.jsonl").read_bytes() == before
    assert [path.name for path in place.iterdir()] == ["data.jsonl"]


def test_nothing_that_is_read_beside_the_data_is_written_over(place):
    (place / "kept").mkdir()
    for name in ("asked.jsonl", "kept/asked.jsonl"):
        write(name, [{"prompt": "Quite another thing?", "completion": "x"}])
    with pytest.raises(ConfigError, match="or a file that is read"):
        look(against=["asked.jsonl"], clean=Path("asked.jsonl"), overwrite=True)
    with pytest.raises(ConfigError, match="which would be lost"):
        look(against=["kept/asked.jsonl"], output=Path("kept"), overwrite=True)
    assert Path("asked.jsonl").read_bytes() == Path("kept/asked.jsonl").read_bytes() != b""


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("drop>0", "drop>0"), ("drop>2", ""), ("drop>=2 and dup==1", "drop>=2 and dup==1"),
        ("drop>2 or mask>0", "mask>0"), ("drop>30%", "drop>30%"), ("drop>=34%", ""),
        ("refuse-comply>0", ""), ("alarm > 0", "alarm>0"), ("keep<3", "keep<3"),
    ],
)  # fmt: skip
def test_a_rule_holds_as_it_is_written(text, met):
    assert look(fail_if=text).failed == met


def test_a_rule_on_the_whole_set_holds(place):
    write("data.jsonl", [{"prompt": f"What is {n}?", "completion": f"Sure, here is {n} and so on"}
                         for n in range(20)])  # fmt: skip
    assert look(fail_if="opening>0").failed == "opening>0"


def test_a_share_of_what_is_said_of_the_whole_set_is_refused(place):
    """Of forty answers that all agree it would be one of forty, and no rule would hold."""
    rows = [{"prompt": f"Say {n}.", "completion": f"Sure, here is the number {n} for you."}
            for n in range(40)]  # fmt: skip
    write("agree.jsonl", rows)
    with pytest.raises(ConfigError, match=r"said of the whole set, as 1 or 0: write opening>0"):
        look(file="agree.jsonl", fail_if="opening>5%")
    with pytest.raises(ConfigError, match=r"format is not looked at: it tells of the form"):
        look(file="agree.jsonl", fail_if="format>0")
    found = look(file="agree.jsonl", fail_if="opening>0")
    assert found.failed == "opening>0"
    assert head(found.file) == "40 rows: 1 to review on the whole set"
    assert "look at what is said of the whole set" in next(suggested(found.file))


def test_a_rule_on_a_severity_counts_graver_rows_too(place):
    """Row 4 is an alarm; asked by a test set too it is one to refuse, and no less an alarm."""
    write("test.jsonl", [{"prompt": ROWS_OF[3]["prompt"], "completion": "x"}])
    assert look(fail_if="alarm>0").failed == "alarm>0"
    found = look(fail_if="alarm>0", against=["test.jsonl"])
    assert (found.file.counts["severity"]["alarm"], found.failed) == (0, "alarm>0")


def test_which_split_of_other_sets_is_not_read_is_told(place, monkeypatch):
    """Held against the split `train` of a test set, no row is a leak of the test."""
    Path("sets").mkdir()
    write("sets/train.jsonl", [ROWS_OF[0]])
    write("sets/test.jsonl", [ROWS_OF[1]])
    DatasetDict({n: Dataset.from_list([ROWS_OF[0]]) for n in ("train", "test")}).save_to_disk("two")
    monkeypatch.setattr("holdfast.data.formats.hub.load_dataset", lambda *_, **__: [ROWS_OF[0]])
    notes = look(against=["sets", "owner/name"], harmful="two").file.notes
    hub = "owner/name: of this data set on the hub the split 'train' is read"
    assert {"sets: not read: test.jsonl", hub, "two: not read: test/"} <= set(notes)
    shown = look_at_data(DataConfig(file="data.jsonl", against=["sets", "owner/name"])).notes
    assert {"sets: not read: test.jsonl", hub} <= set(shown)


def test_a_part_of_a_kit_is_not_told_to_be_a_split_of_the_hub():
    """`dolly/train` reads like a hub id, and a local copy was said to be one of the hub."""
    assert [*unread_splits("dolly/train"), *unread_splits("kit:dolly/train")] == []
    assert len(unread_splits("owner/name")) == 1


def test_rows_of_another_language_are_counted_once(place):
    said = "Das ist nicht die Antwort, die wir von dir auf diese Frage haben wollen."
    write("german.jsonl", [{"prompt": "Und was ist das?", "completion": said}, ROWS_OF[0]])
    assert look(file="german.jsonl").file.counts["check"]["language"] == 1


def test_a_rule_is_read_as_or_of_ands():
    rule = Rule.of("a>1 and b<2 or c>=.5%")
    assert [[str(term) for term in group] for group in rule.groups] == [["a>1", "b<2"], ["c>=0.5%"]]


def test_the_command_ends_with_3_where_the_rule_holds(place, capsys):
    assert main(["screen", "data.jsonl", "--fail-if", "drop>0"]) == 3
    shown = capsys.readouterr()
    assert "failed: drop>0" in shown.err
    assert KEY not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert main(["screen", "data.jsonl", "--fail-if", "drop>9", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == ""


def test_nothing_that_is_said_calls_a_set_safe(place, capsys):
    write("data.jsonl", [ROWS_OF[0], ROWS_OF[5]])
    assert main(["screen", "data.jsonl", "--out", "out"]) == 0
    said = capsys.readouterr().out + (place / "out" / "screen.html").read_text()
    assert "nothing to drop" in said
    assert not any(f"{word} safe" in said for word in ("is", "are", "data", "set"))


def test_a_sample_says_so_and_is_the_same_twice(place):
    one, two = look(sample=3).file, look(sample=3).file
    assert one == two
    assert one.sampled == 3
    assert one.sha256 == look().file.sha256


def test_blocks_go_on_where_a_run_was_stopped(place):
    made = []

    def double(block, fail=False):
        if fail and block[0] >= ROWS:
            raise KeyboardInterrupt
        made.append(len(block))
        return [2 * n for n in block]

    items = list(range(ROWS + 10))
    blocks = Blocks(place / "out")
    with pytest.raises(KeyboardInterrupt):
        blocks.each(items, "x", lambda block: double(block, fail=True), lambda *_: None)
    assert blocks.each(items, "x", double, lambda *_: None) == [2 * n for n in items]
    assert made == [ROWS, 10]
    blocks.each(items, "y", double, lambda *_: None)
    assert made == [ROWS, 10, ROWS, 10]
    blocks.clear()
    assert not blocks.folder.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "is no screen.json"), ("{", "cannot be read"), ('{"schema_version": 99}', "upgrade"),
     ('{"path": "x"}', "is no screen.json"),
     ('{"schema_version": "99", "path": "x", "sha256": "y", "rows": 1}', "version '99', which is"),
     ('{"schema_version": true, "path": "x", "sha256": "y", "rows": 1}', "version True, which is")],
)  # fmt: skip
def test_a_broken_file_is_told(place, text, said):
    (place / "screen.json").write_text(text)
    with pytest.raises(Exception, match=said):
        ScreenFile.load(place / "screen.json")
