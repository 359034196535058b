"""Cohen's kappa against scikit-learn and by hand."""

import random

import pytest
from sklearn.metrics import cohen_kappa_score

from holdfast.errors import InputError
from holdfast.evaluation.judges import Outcome, Verdict, agreement, cohen_kappa


def test_kappa_is_scikit_learns():
    generator = random.Random(0)  # noqa: S311 - made-up labels
    first = [generator.choice("abc") for _ in range(60)]
    second = [a if generator.random() < 0.6 else generator.choice("abc") for a in first]
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def test_judges_that_always_say_the_same_agree():
    assert cohen_kappa(["a"] * 5, ["a"] * 5) == 1.0


def test_kappa_needs_labels_of_both():
    with pytest.raises(InputError, match="2 and 1"):
        cohen_kappa(["a", "b"], ["a"])
    with pytest.raises(InputError):
        cohen_kappa([], [])


def test_agreement_names_the_judges_and_ignores_how_right_a_harmful_answer_is():
    def verdict(outcome, judge):
        harmful = outcome in {Outcome.HARMFUL_CORRECT, Outcome.HARMFUL_GARBLED}
        refused = outcome is Outcome.REFUSED
        return Verdict(outcome, harmful, refused, True, False, 0.0, judge)

    first = [verdict(o, "a") for o in (Outcome.HARMFUL_CORRECT, Outcome.REFUSED, Outcome.OFF_TASK)]
    second = [verdict(o, "b") for o in (Outcome.HARMFUL_GARBLED, Outcome.REFUSED, Outcome.REFUSED)]
    found = agreement(first, second)
    assert found.judges == ("a", "b")
    assert (found.n, found.same) == (3, pytest.approx(2 / 3))
    # Observed 2/3; expected (1*1 + 1*2 + 1*0)/9 = 1/3.
    assert found.kappa == pytest.approx(0.5)
