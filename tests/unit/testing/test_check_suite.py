"""The suite of hygiene checks passes a good one and catches every planted fault."""

from itertools import count

import pytest

from holdfast.data.checks import CHECKS, Check, Context, Finding
from holdfast.testing import check_check
from holdfast.testing.hygiene import _quotes

NAME = "one_word"


def row(answer, number=1):
    asked = [{"role": "user", "content": "what is the capital of this land"}]
    return {
        "prompt": asked,
        "completion": [{"role": "assistant", "content": answer}],
        "row": number,
    }


def single(rows):
    return [each for each in rows if " " not in each["completion"][0]["content"]]


def said(each, reason="the answer is one word", name=NAME):
    return Finding(name, each["row"], reason, "warn", "review")


def check(find, name=NAME, **more):
    return Check(name, "answers of a single word", find, **more)


def run(given, planted=("zorba", "miptown"), near=("it is zorba",), context=None):
    rows = [[row(text, n) for n, text in enumerate(texts, 1)] for texts in (planted, near)]
    check_check(given, *rows, context or Context())


def good(rows, _context):
    return [said(each) for each in single(rows)]


def changes_near(rows, context):
    for each in rows:
        if " " in each["completion"][0]["content"]:
            each["completion"][0]["content"] = "changed"
    return good(rows, context)


def changes_planted(rows, context):
    found = good(rows, context)
    for each in rows:
        each["completion"].clear()
    return found


def quotes_answer(rows, _context):
    return [said(each, f"only {each['completion'][0]['content']!r}") for each in single(rows)]


def quotes_prompt(rows, _context):
    return [said(each, f"to {each['prompt'][0]['content'][5:28]} ...") for each in single(rows)]


CALLS = count()
FAULTS = {
    "changes a near miss": (changes_near, "takes the near miss"),
    "changes the rows": (changes_planted, "changes the rows"),
    "quotes an answer": (quotes_answer, "quotes text of the rows"),
    "quotes a piece of a prompt": (quotes_prompt, "quotes text of the rows"),
    "differs": (lambda rows, _: [said(r, f"call {next(CALLS)}") for r in single(rows)], "second"),
    "misses a row": (lambda rows, _: [said(r) for r in single(rows)[:1]], r"planted rows \[2\]"),
    "finds all": (lambda rows, _: [said(r) for r in rows], "takes the near miss"),
    "finds in nothing": (lambda rows, c: good(rows, c) or [
        Finding(NAME, None, "a set", "note", "keep")], "in no rows"),
    "other name": (lambda rows, _: [said(r, name="two") for r in single(rows)], "not its own name"),
    "fails": (lambda rows, _: rows["x"], "find fails"),
    "is a stream": (lambda rows, c: iter(good(rows, c)), "not a list"),
}  # fmt: skip


def test_a_good_one_passes():
    run(check(good))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_caught(fault):
    find, words = FAULTS[fault]
    with pytest.raises(AssertionError, match=words):
        run(check(find))


def test_rows_must_be_given_and_what_it_needs():
    for planted, near, words in (((), ("a b",), "no planted row"), (("a",), (), "no near miss")):
        with pytest.raises(AssertionError, match=words):
            run(check(good), planted, near)
    with pytest.raises(AssertionError, match="needs max_length"):
        run(check(good, needs=("max_length",)))


def test_ours_quote_nothing():
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    texts = [f"the key is {secret} here", "As an AI I cannot. Sure, here is how.", "x\u200by" * 9]
    rows = [row(text, n) for n, text in enumerate(texts * 2, 1)]
    ours = [given for given in CHECKS.own.values() if not given.needs]
    found = [each for given in ours for each in given.find(rows, Context())]
    assert len({each.check for each in found}) > 2
    assert [each for each in found if _quotes(each.reason, rows)] == []
