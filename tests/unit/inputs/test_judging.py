"""Which judge says whether a model refuses."""

import pytest

from holdfast.errors import ConfigError
from holdfast.inputs.judge_specs import built
from holdfast.inputs.judging import judge_for, refusal_judge


def test_a_judge_of_harm_alone_is_not_asked_what_refuses():
    harm, phrases = judge_for("model", "harmbench"), judge_for("model", "refusal_phrases")
    assert refusal_judge("model", [harm, phrases]) is phrases
    assert refusal_judge("model", [harm]).name == judge_for("model").name
    assert refusal_judge("organism").name == judge_for("organism").name
    guard = judge_for("model", "wildguard")
    assert refusal_judge("model", [guard, phrases]) is guard


class Bare:
    """A judge as people write one in a hurry: no argument has a type."""

    def __init__(self, strict=False, word="no", draws=3, tau=0.5, phrases=None):
        self.given = [strict, word, draws, tau, phrases]


class Unread:
    def __init__(self, strict=False):
        self.strict = strict


Unread.__init__.__annotations__["strict"] = "Nowhere"


def test_options_without_a_type_have_that_of_their_default():
    """doors.md: arguments that have a default are options; these were "unknown, it has none"."""
    text = "bare:strict=yes,word=sorry,draws=4,tau=1,phrases=mine.txt"
    assert built(text, lambda _: Bare).given == [True, "sorry", 4, 1.0, "mine.txt"]
    drawn = [built(f"bare:draws={text}", lambda _: Bare).given[2] for text in ("4", "0.5")]
    assert [(type(each), each) for each in drawn] == [(int, 4), (float, 0.5)]
    with pytest.raises(ConfigError, match="draws='few' must be a"):
        built("bare:draws=few", lambda _: Bare)


def test_a_type_that_exists_for_a_checker_alone_is_told_as_the_judge_s():
    with pytest.raises(ConfigError, match=r"cannot be read \(NameError.*import what they name"):
        built("unread:strict=yes", lambda _: Unread)
    assert built("unread", lambda _: Unread).strict is False  # Nobody has to know them then.
