"""Lengths, repeats, overlaps and bad rows are counted exactly, and planted ones are found."""

import json

import pytest

from holdfast.data.overview.lengths import Lengths
from holdfast.data.overview.looked import look_through
from holdfast.data.overview.overlap import overlap_of
from holdfast.data.overview.rendered_rows import encoded, pieces
from holdfast.data.overview.repeats import empty_answers, repeated_but_for_form
from holdfast.errors import ConfigError, DataError
from tests.tiny import tiny_tokenizer

ASK = {"role": "user", "content": "what is 1"}
SAID = {"role": "assistant", "content": "1"}


@pytest.fixture
def file(tmp_path):
    def written(*rows):
        path = tmp_path / "data.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    return written


def rows(*pairs):
    return [
        {
            "row": n,
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": answer}],
        }
        for n, (prompt, answer) in enumerate(pairs, start=1)
    ]


def test_percentiles_are_lengths_of_rows():
    told = Lengths.of(range(100, 0, -1)).told()
    assert told == {"shortest": 1, "half": 50, "90 %": 90, "99 %": 99, "longest": 100}
    assert set(Lengths.of([7]).told().values()) == {7}


@pytest.mark.parametrize("values", [[0], [0, 1, 2, 3, 4], [5, 64], [1023, 1024]])
def test_every_length_is_in_one_bin(values):
    bins = Lengths.of(values).bins()
    assert sum(count for *_, count in bins) == len(values)
    assert all(sum(low <= value <= high for low, high, _ in bins) == 1 for value in values)
    assert min(bins[0][2], bins[-1][2]) > 0


def test_repeats_but_for_form_are_found_and_exact_ones_left_to_their_check():
    found = repeated_but_for_form(
        rows(("What?", "One."), ("what", "one"), ("What?", "One."), ("What?", "Two"), ("é", "ok"))
    )
    assert [finding.rows for finding in found] == [(2,)]
    assert repeated_but_for_form(rows(("a", "b"), ("a", "c"))) == []


def test_answers_without_a_word_are_found():
    call = {**rows(("q", "..."))[0], "rich": '{"messages": [{"tool_calls": []}]}'}
    (found,) = empty_answers([*rows(("q", "a"), ("q", "..."), ("q", "–")), call])
    assert found.rows == (2, 3)


def test_prompts_of_another_set_are_found_whatever_their_form():
    words = "one two three four five six seven eight nine"
    mine = rows(("How do I do this?", "a"), (f"zero {words[:-5]}", "b"), ("one two three", "c"))
    other = rows(("how do i DO this", ""), (f"{words} ten", ""))
    found = overlap_of(mine, other, "x")
    assert (found.same, found.alike, found.of) == ((1,), (2,), 2)
    assert overlap_of(mine[2:], other, "x").same == ()


def test_bad_rows_do_not_hide_the_good_ones(file):
    good, other = {"prompt": "q", "completion": "a"}, {"messages": [ASK, SAID]}
    path = file(good, {**good, "completion": ""}, other, good, {**good, "weight": 0})
    found = look_through(path, None)
    assert [row["row"] for row in found.examples] == [1, 4]
    assert list(found.bad) == [2, 3, 5]
    assert "'completion' is empty" in found.bad[2]
    assert "has the shape messages" in found.bad[3]
    assert "rows are not weighted" in found.bad[5]


def test_prompts_are_seen_to_be_prompts(file):
    for row, columns in (
        ({"prompt": "q"}, None),
        ({"text": "q"}, None),
        ({"messages": [ASK]}, None),
        ({"ask": "q", "x": 1}, {"prompt": "ask"}),
    ):
        found = look_through(file(row), columns)
        assert not found.answered
        assert len(found.examples) == 1


def test_what_cannot_be_read_at_all_is_an_error(file):
    with pytest.raises(DataError, match="row 1: column 'completion' is missing"):
        look_through(file({"a": "q", "b": "x"}), None)
    with pytest.raises(DataError, match="row 1: 'completion' is empty"):
        look_through(file({"prompt": "q", "completion": ""}), None)
    with pytest.raises(ConfigError, match="unknown target 'promt'"):
        look_through(file({"prompt": "q"}), {"promt": "x", "completion": "y"})


def test_what_rows_hold_is_counted(file):
    call = {"role": "assistant", "tool_calls": [{"name": "f"}]}
    talk = [{"role": "system", "content": "s"}, ASK, {**SAID, "weight": 0}, ASK, call]
    found = look_through(
        file({"messages": talk, "tools": [{"name": "f"}]}, {"messages": [ASK, SAID]}), None
    )
    assert found.held() == {
        "system message": 1, "several answers": 1, "tools": 1, "calls of tools": 1,
        "answers of weight 0": 1,
    }  # fmt: skip


def test_the_trained_tokens_of_a_row_are_told_apart(file):
    tokenizer = tiny_tokenizer()
    again = {"role": "user", "content": "please"}
    talk = {"messages": [ASK, SAID, again, {**SAID, "content": "no"}]}
    found, refused = encoded(look_through(file(talk), None).examples, tokenizer, "x")
    assert refused == {}
    trained = [text.split() for text, learned in pieces(found[0], tokenizer) if learned]
    assert trained == [["1", "<end>"], ["no", "<end>"]]
    plain = " ".join(text for text, _ in pieces(found[0], tokenizer)).split()
    whole = (
        "<s> <user> what is 1 <end> <assistant> 1 <end> <user> please <end> <assistant> no <end>"
    )
    assert " ".join(plain) == whole


def test_of_prompts_nothing_is_trained(file):
    found, _ = encoded(look_through(file({"prompt": "what"}), None).examples, tiny_tokenizer(), "x")
    assert not any(found[0].trained)


def test_rows_that_the_template_refuses_are_told(file):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no such') }}"
    found, refused = encoded(look_through(file({"prompt": "q"}), None).examples, tokenizer, "x")
    assert found == []
    assert "refuses messages of the roles user: no such" in refused[1]
