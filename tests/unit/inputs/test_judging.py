"""Which judge says whether a model refuses."""

from holdfast.inputs.judging import judge_for, refusal_judge


def test_a_judge_of_harm_alone_is_not_asked_what_refuses():
    harm, phrases = judge_for("model", "harmbench"), judge_for("model", "refusal_phrases")
    assert refusal_judge("model", [harm, phrases]) is phrases
    assert refusal_judge("model", [harm]).name == judge_for("model").name
    assert refusal_judge("organism").name == judge_for("organism").name
    guard = judge_for("model", "wildguard")
    assert refusal_judge("model", [guard, phrases]) is guard
