"""What ``docs/doors.md`` shows works as it stands there, from the file to the result."""

import json
import re
import sys
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.data.checks import CHECKS, Context, findings_in
from holdfast.data.checks.protocol import found_by
from holdfast.data.load import load_examples
from holdfast.data.prompts import prompts_in
from holdfast.errors import ConfigError, DataError
from holdfast.inputs.judging import judges
from holdfast.organism.items import evaluation_items
from tests.own_package import block, points_of

PAGE = "doors.md"
JUDGE, CHECK_JUDGE, FORMAT, CHECK_FORMAT, SHAPE, CHECK_SHAPE, HYGIENE, CHECK_HYGIENE = (
    block("python", PAGE, n) for n in range(8)
)
GROUPS = {name: value for n in range(4) for name, value in points_of(PAGE, n).items()}
ASKED = [item.prompt[-1]["content"] for item in evaluation_items("test") if item.kind == "harmful"]
EVALUATE = ["evaluate", "--model", "organism", "--max-new-tokens", "4", "--json", "--judge"]


@pytest.fixture
def place(install, tmp_path, monkeypatch):
    """A folder with questions in the page's format, and the page's package installed."""
    monkeypatch.chdir(tmp_path)
    blocks = [f"Q: {question}\nA: no" for question in ASKED[:4]]
    (tmp_path / "questions.qa").write_text("\n\n".join(blocks) + "\n")
    install(f"{JUDGE}\n\n{FORMAT}\n\n{SHAPE}\n\n{HYGIENE}", groups=GROUPS)
    judges().find("first_word")  # Imports the package.
    return tmp_path


def run(code):
    exec(compile(code, PAGE, "exec"), {})  # noqa: S102  # Our own page.


def test_judge_and_format_of_the_page_measure_the_organism(place, capsys):
    assert main([*EVALUATE, "first_word", "--harmful", "questions.qa", "--output", "out"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["judge"] == "first word/1"
    assert told["shares"]["hs"]["n"] == 4
    (answer, *_) = json.loads((place / "out" / "result.json").read_text())["arms"][0]["runs"][0][
        "answers"
    ]
    refused = answer["answer"].split()[0] in ("no", "sorry")
    assert answer["outcome"] == ("refused" if refused else "harmful-correct")


def test_a_judge_that_can_tell_nothing_is_told_and_leaves_the_others_their_figures(
    place, install, capsys
):
    """Nothing at all was printed, not even what the second judge said."""
    mute = "\n        return [Verdict.unscored(self.name, 'unread') for _ in items]\n        "
    code = JUDGE.replace("        return [self", f"{mute}return [self")
    again(install, f"{code}\n\n{FORMAT}\n\n{SHAPE}\n\n{HYGIENE}")
    asked = [*EVALUATE[:-2], "--harmful", "questions.qa", "--judge", "first_word"]
    assert main([*asked, "--judge", "organism_oracle"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "first word/1 could not score 100% of the answers to harmful questions" in told
    assert "The same answers by organism-oracle/1" in told


@pytest.mark.parametrize(
    "code",
    [CHECK_JUDGE, CHECK_FORMAT, CHECK_SHAPE, CHECK_HYGIENE],
    ids=["judge", "format", "shape", "check"],
)
def test_the_suites_of_the_page_pass(place, code):
    run(code)


def test_the_hygiene_check_of_the_page_runs_beside_ours(place):
    found, _ = findings_in(load_examples("questions.qa"))
    assert [each.row for each in found if each.check == "one_word"] == [1, 2, 3, 4]


BROKEN_CHECKS = {
    "no Check": (HYGIENE + "\nONE_WORD = find\n", "it is no Check; declare an object"),
    "other name": (HYGIENE.replace('Check("one_word"', 'Check("two"'), "name is 'two'; give it"),
    "no words": (HYGIENE.replace('"answers of a single word"', '""'), "says is ''; give a few"),
    "no function": (HYGIENE.replace(" find)\n", " 3)\n"), "find is 3; give a function"),
    "needs of nothing": (HYGIENE.replace(" find)\n", ' find, ("gpu",))\n'), "needs is ('gpu',)"),
    "a find that fails": (HYGIENE.replace("single =", "single = 1 / 0;"), "find fails (ZeroDiv"),
    "findings that are none": (HYGIENE.replace(" Finding(\"one", " (\"one"),
                               "a tuple and not a Finding"),
    "a severity of its own": (HYGIENE.replace('"warn"', '"bad"'), "severity='bad', not one of"),
    "a row that is none": (HYGIENE.replace('row["row"],', "99,"), "row=99, which is no row"),
    "a mask of nothing": (HYGIENE.replace('"review"', '"mask"'), "the action mask without a span"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), BROKEN_CHECKS.values(), ids=BROKEN_CHECKS)
def test_a_broken_check_fails_its_suite_and_is_told(place, install, code, said):
    again(install, f"{JUDGE}\n\n{FORMAT}\n\n{SHAPE}\n\n{code}")
    CHECKS.forget()
    with pytest.raises((DataError, ConfigError), match=re.escape(said)):
        found_by(CHECKS.find("one_word"), [*load_examples("questions.qa")], Context())
    if "name is" not in said:  # The suite is not told the entry point's name.
        with pytest.raises(AssertionError):
            run(CHECK_HYGIENE)


@pytest.mark.parametrize(
    ("old", "new"),
    [('" " not in', '"q" in'), ('" " not in row["completion"][0]["content"]', "True"),
     ("return [", 'rows[0]["row"] = 1; rows[0].pop("x", 0); rows[0]["y"] = 1; return [')],
    ids=["blind", "takes all", "changes rows"],
)  # fmt: skip
def test_the_suite_of_a_check_finds_the_planted_fault(place, install, old, new):
    again(install, HYGIENE.replace(old, new))
    with pytest.raises(AssertionError):
        run(CHECK_HYGIENE)


BROKEN = {
    "no judge of the name": (JUDGE, "first_wrd", "Did you mean 'first_word'"),
    "judge without version": (JUDGE.replace("    version", "    other"), "", "version is None"),
    "version not in the name": (
        JUDGE.replace('version = "1"', 'version = "2"'), "", "write name = 'first word/1/2'",
    ),
    "judge with an argument": (
        JUDGE.replace("    def __call__", "    def __init__(self, path): ...\n    def __call__"),
        "", "__init__ fails without arguments",
    ),
    "judge that takes one thing": (
        JUDGE.replace("items, answers):", "items):"), "", "__call__ fails on no items",
    ),
    "judge that gives none": (
        JUDGE.replace("return [self", "[self"), "", "__call__ returned NoneType, not a list",
    ),
    "judge that is no class": (JUDGE + "\nFirstWord = 3\n", "", "declare the class itself"),
    "verdict of no outcome": (
        JUDGE.replace("outcome=Outcome.HARMFUL_CORRECT if harmful else outcome", "outcome='bad'"),
        "", "__call__ gave item 'harmful-1' outcome='bad'",
    ),
    "score that is no share": (
        JUDGE.replace("float(harmful)", "7"), "", "score=7, not a number in [0, 1]",
    ),
    "somebody else's name": (
        JUDGE.replace("judge=self.name", "judge='x'"), "", "not its own name 'first word/1'",
    ),
}  # fmt: skip


def refused(given, capsys, said, folder):
    """The command's last line says this, after lines of progress alone; nothing is written."""
    assert main([*given, "--output", "out"]) == 2
    shown = capsys.readouterr()
    *before, last = shown.err.splitlines()
    assert said in last, shown.err
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in before), shown.err
    assert shown.out == ""
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("code", "name", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_judge_is_one_line(place, install, capsys, code, name, said):
    again(install, f"{code}\n\n{FORMAT}")
    given = [*EVALUATE, name or "first_word", "--harmful", "questions.qa"]
    refused(given, capsys, said, place)


BROKEN_FORMATS = {
    "no Format": (FORMAT + "\nBLOCKS = read\n", "it is no Format; declare an object"),
    "other name": (FORMAT.replace('"blocks"', '"commas"'), "name is 'commas'; give it the entry"),
    "suffix as a text": (FORMAT.replace('(".qa",)', '".qa"'), "suffixes is '.qa'; give a tuple"),
    "suffix of ours": (FORMAT.replace('".qa"', '".qa", ".csv"'), "suffixes has .csv, which"),
    "no reader": (FORMAT.replace(", read)", ", None)"), "read is None; give a function"),
    "rows that are none": (FORMAT.replace("yield RawRow(", "yield ("), "read yields a tuple"),
    "numbers that stay": (
        FORMAT.replace("RawRow(number", "RawRow(1"), "yields the number 1, not one above, after",
    ),
    "an error that tells nothing": (
        FORMAT.replace("yield RawRow(", "yield 1 / 0, RawRow("), "(ZeroDivisionError: division by",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), BROKEN_FORMATS.values(), ids=BROKEN_FORMATS)
def test_a_broken_format_is_one_line(place, install, capsys, code, said):
    again(install, f"{JUDGE}\n\n{code}")
    given = [*EVALUATE, "first_word", "--harmful", "questions.qa"]
    refused(given, capsys, said, place)


def test_a_broken_judge_stops_every_command_before_it_reads_a_model(place, install, capsys):
    again(install, JUDGE.replace("    version", "    other"))
    for command in (["tune", "--data", "organism"], ["repair", "--method", "random_perturbation"]):
        given = [*command, "--model", "no-such-folder", "--judge", "first_word"]
        refused(given, capsys, "first_word' cannot be used", place)


def test_the_shape_of_the_page_is_read(place):
    """In every use: as questions, as rows, and with what stands beside it."""
    row = {"turns": ["what", "one", "why", "two"], "system": "be brief"}
    Path("talks.jsonl").write_text(json.dumps(row) + "\n")
    (found,) = load_examples("talks.jsonl")
    assert [m["content"] for m in found["prompt"]] == ["be brief", "what", "one", "why"]
    assert found["completion"] == [{"role": "assistant", "content": "two"}]
    assert prompts_in("talks.jsonl")[0]["prompt"] == found["prompt"]


BROKEN_SHAPES = {
    "no Shape": (SHAPE + "\nTURNS = columns\n", "it is no Shape; declare an object"),
    "other name": (SHAPE.replace('Shape("turns"', 'Shape("texts"'), "name is 'texts'; give it the"),
    "no words": (SHAPE.replace('"a list of texts, the user\'s first"', '""'), "says is ''; give a"),
    "no columns": (SHAPE.replace(" columns, messages)", " 3, messages)"), "columns is 3; give a"),
    "columns that fail": (
        SHAPE.replace('return {"turns": "turns"}', "return 1 / 0"), "columns fails (ZeroDivision",
    ),
    "columns of nothing": (
        SHAPE.replace('return {"turns": "turns"}', "return 7"), "columns gives 7, and not columns",
    ),
    "messages that fail": (SHAPE.replace("texts = row", "texts = 1 / 0, row"), "fails (Zero"),
    "messages that are none": (
        SHAPE.replace('return [{"role"', 'return 3, [{"role"'), "messages gives a tuple, not",
    ),
    "an unknown role": (
        SHAPE.replace('"assistant")[n', '"robot")[n'), "message 2 of the shape turns has the",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), BROKEN_SHAPES.values(), ids=BROKEN_SHAPES)
def test_a_broken_shape_is_one_line(place, install, capsys, code, said):
    Path("talks.jsonl").write_text('{"turns": ["what", "one"]}\n')
    again(install, f"{JUDGE}\n\n{FORMAT}\n\n{code}")
    given = ["tune", "--model", "organism", "--data", "talks.jsonl"]
    refused(given, capsys, said, place)
    if "name is" not in said:  # The suite is not told the entry point's name.
        with pytest.raises(AssertionError):
            run(CHECK_SHAPE)


def test_a_check_that_cannot_be_used_is_told_by_a_screening_and_stops_no_other(
    place, install, capsys
):
    again(install, f"{JUDGE}\n\n{FORMAT}\n\n{SHAPE}\n\n{HYGIENE.replace(' find)', ' 3)')}")
    assert main(["screen", "questions.qa", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "find is 3; give a function" in found["unchecked"]["one_word"]
    assert found["counts"]["check"]["dup"] == 0
    assert main(["screen", "questions.qa", "--fail-if", "one_word>0"]) == 2
    assert "one_word is not looked at: the installed check" in capsys.readouterr().err


def test_two_formats_of_one_suffix_are_told(place, install, capsys):
    install(
        FORMAT.replace('"blocks"', '"answers"'),
        groups={"holdfast.formats": {"answers": "other_package:BLOCKS"}},
        package="other_package",
        dist="other",
    )
    given = [*EVALUATE, "first_word", "--harmful", "questions.qa"]
    refused(given, capsys, "the formats answers and blocks both read .qa", place)


def test_what_cannot_be_used_is_listed_and_stops_nothing(place, install, capsys):
    again(install, "import nothing_of_this_name\n")
    assert main(["list"]) == 0
    told = capsys.readouterr().err
    for kind, name in (
        ("judge", "first_word"),
        ("format", "blocks"),
        ("shape", "turns"),
        ("check", "one_word"),
    ):
        assert f"the installed {kind} {name!r} cannot be used" in told
        assert "No module named 'nothing_of_th" in told


def again(install, code):
    """Install the page's package with other code."""
    del sys.modules["my_package"]
    install(code, groups=GROUPS)
