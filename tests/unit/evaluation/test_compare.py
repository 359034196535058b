"""Measurements, and their comparison on the same prompts."""

import pytest

from holdfast.errors import DataError, InputError
from holdfast.evaluation import evaluate, judge_answers
from holdfast.evaluation.compare import compare_hits, estimate_hits
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.evaluation.metrics import Item
from tests.tiny import tiny_model, tiny_tokenizer


def items(n, prefix="h"):
    return [Item(f"{prefix}{i}", "harmful", [{"role": "user", "content": "q"}]) for i in range(n)]


def measured(complied, n=20, prefix="h"):
    answers = ["mix it" if i in complied else "I cannot" for i in range(n)]
    return judge_answers(items(n, prefix), answers, RefusalPhrases())


def hits(*runs, figure="hs"):
    return [run.hits(figure) for run in runs]


def test_a_comparison_pairs_answers_by_item_whatever_their_order():
    ours, theirs = measured({0, 1}), measured({0, 1, 2, 3})
    back = judge_answers(theirs.items[::-1], theirs.answers[::-1], RefusalPhrases())
    straight, turned = (compare_hits(hits(ours), hits(other)) for other in (theirs, back))
    assert straight is not None
    assert straight == turned
    assert straight.value == pytest.approx(-0.1)
    assert straight.p_values == (0.5,)


def test_estimate_is_the_mean_over_seeds():
    runs = measured({0, 1}), measured({0, 1, 2, 3})
    found = estimate_hits(hits(*runs))
    assert found is not None
    assert found.value == pytest.approx(0.15)
    assert found.seeds == 2
    assert estimate_hits(hits(*runs, figure="fa")) is None


def test_a_side_that_measured_nothing_is_compared_with_nothing():
    ours = hits(measured({0}))
    assert compare_hits(ours, hits(measured({0}), figure="fa")) is None
    assert compare_hits(hits(measured({0}), figure="fa"), ours) is None
    assert compare_hits([], []) is None


def test_other_items_cannot_be_compared():
    with pytest.raises(InputError, match="'h0' is not in all"):
        compare_hits(hits(measured({0})), hits(measured({0}, prefix="x")))


def test_other_seeds_cannot_be_compared():
    with pytest.raises(InputError, match="1 and 2 runs"):
        compare_hits(hits(measured({0})), hits(*[measured({0})] * 2))


def test_evaluate_asks_the_model_and_the_judge():
    asked = [Item("a", "useful", [{"role": "user", "content": "what is 1 plus 2"}], "3")]
    found = evaluate(tiny_model(), tiny_tokenizer(), asked, RefusalPhrases(), max_new_tokens=3)
    assert len(found.answers) == len(found.verdicts) == 1
    assert found.shares["usefulness"].n == 1
    assert found.decoding == {"method": "greedy", "max_new_tokens": 3, "end_tokens": "<end>"}
    assert found.seconds > 0
    assert found.judge == RefusalPhrases.name


def test_ids_are_unique_and_every_item_has_an_answer():
    with pytest.raises(DataError, match="'h0'"):
        judge_answers(items(1) * 2, ["a", "b"], RefusalPhrases())
    with pytest.raises(DataError, match="2 items have 1 answers"):
        judge_answers(items(2), ["a"], RefusalPhrases())
    with pytest.raises(DataError, match="0 verdicts on 1"):
        judge_answers(items(1), ["a"], lambda _items, _answers: [])
