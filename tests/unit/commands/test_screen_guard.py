"""The guard scan: whole answers, answers alone and segments, by judges that answer by a script."""

import json
import shutil
from pathlib import Path

import pytest

from holdfast.commands.screening.guard import ALONE, guard_of, segments
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.screen import screen
from holdfast.data.checks.texts import sentences
from tests.judge_models import scripted

QWEN = {"bad": "Safety: Unsafe\nCategories: Violent\nRefusal: No",
        "good": "Safety: Safe\nCategories: None\nRefusal: No", "odd": "blue"}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    scripted(Path("guard"), QWEN)
    return tmp_path


def look(*answers, batch_size=8, **more):
    rows = [{"prompt": f"what is question {n}", "completion": a} for n, a in enumerate(answers)]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    guard = f"qwen3guard:model=guard,dtype=float32,batch_size={batch_size}"
    return screen(ScreenConfig(file="data.jsonl", guard=guard, **more))


def told(found):
    return {e.row: (e.action, e.reason, e.span) for e in found.file.findings if e.check == "guard"}


def test_harmful_answers_are_dropped_and_unread_ones_reviewed(place):
    found = look("the sky is good", "the sky is bad", "the sky is odd")
    assert told(found) == {
        2: ("drop", "guard, the answer to its prompt: Violent", None),
        3: ("review", "the guard gave no verdict on the answer to its prompt", None),
    }
    assert found.file.counts["check"]["guard"] == 2
    assert "guard" not in found.file.unchecked


def test_a_harmful_segment_in_a_harmless_row_is_found_and_where(place):
    """The scripted guard reads the last word alone: the end of the row hides what is inside."""
    answer = "afifteenletters " * 40 + "bad\n" + "afifteenletters " * 40 + "good"
    (found,) = told(look(answer)).values()
    action, reason, span = found
    assert (action, reason) == ("review", "guard, a segment of the answer: Violent")
    assert "bad" in answer[span.start : span.end]
    assert span.message == 1


def test_the_files_are_the_same_whatever_the_batch(place):
    answers = ["the sky is " + word for word in ("good", "bad", "odd", "bad sky good")]
    for size in (1, 3):
        look(*answers, batch_size=size, output=Path(f"out{size}"))
    one, three = (json.loads(Path(f"out{n}/screen.json").read_text()) for n in (1, 3))
    one["guard"] = three["guard"] = None
    assert one == three
    assert Path("out1/screen.csv").read_bytes() == Path("out3/screen.csv").read_bytes()


def test_rules_may_name_a_guard_that_is_given(place):
    assert look("the sky is bad", fail_if="guard>0").failed == "guard>0"


class Words:
    """Counts blanks between words as a tokenizer would tokens."""

    def __call__(self, text):
        return len(text.split())


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
def test_segments_cover_the_text_and_keep_to_the_limit(most):
    text = "One two three. Four five six seven eight nine ten! Eleven?\n\n- twelve\n" + "x " * 40
    pieces = segments(text, most, Words())
    assert "".join(text[start:end] for start, end in pieces) == text
    assert max(Words()(text[start:end]) for start, end in pieces) <= most
    assert "".join(sentences(text)) == text


def test_segments_keep_sentences_whole_where_they_fit():
    text = "One two three. Four five six. Seven eight nine."
    assert [text[a:b] for a, b in segments(text, 6, Words())] == [
        "One two three. Four five six. ", "Seven eight nine.",
    ]  # fmt: skip
    assert segments("", 5, Words()) == []


def test_an_answer_alone_is_asked_without_its_prompt(place):
    guard, notes = guard_of("qwen3guard:model=guard,dtype=float32")
    assert notes == []
    assert guard.name.startswith("Qwen3Guard")
    assert [m["role"] for m in ALONE] == ["user"]


def test_every_turn_of_the_assistant_is_read(place):
    """A harmless last turn must not hide a harmful one before it."""
    said = [("user", "what is 1"), ("assistant", "the sky is bad"), ("user", "and 2"),
            ("assistant", "the sky is good")]  # fmt: skip
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    Path("talk.jsonl").write_text(json.dumps(row) + "\n")
    guard = "qwen3guard:model=guard,dtype=float32"
    action, reason, span = told(screen(ScreenConfig(file="talk.jsonl", guard=guard)))[1]
    assert (action, reason) == ("drop", "guard, the answer to its prompt: Violent")
    assert (span.message, span.start, span.end) == (1, 0, len("the sky is bad"))


def test_what_was_kept_of_another_guard_is_not_taken(place, monkeypatch):
    """A folder of the same name, or the same folder, may hold another model now."""
    output, stopped = Path("out"), RuntimeError("stopped")

    def stop(*_):
        raise stopped

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.commands.screening.screen.write", stop)
        with pytest.raises(RuntimeError):
            look("the sky is bad", output=output)
    assert list(Path(".out.blocks").glob("*.json"))
    shutil.rmtree("guard")
    scripted(Path("guard"), {**QWEN, "bad": QWEN["good"]})
    assert told(look("the sky is bad", output=output)) == {}
