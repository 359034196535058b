"""The suite of judges passes ours and catches every planted fault."""

import dataclasses
from copy import deepcopy

import pytest

from holdfast.errors import ConfigError
from holdfast.evaluation import judge_answers
from holdfast.evaluation.judges import BUILT_IN, Outcome, RefusalPhrases
from holdfast.evaluation.judges.protocol import judge_fault
from holdfast.inputs.judge_specs import prepared
from holdfast.organism import Oracle
from holdfast.organism.items import evaluation_items
from holdfast.testing import check_judge

ALONE = {name: cls for name, cls in BUILT_IN.items() if not hasattr(cls, "prepare")}
"""Judges that need nothing; those that need a model or a server have the suite in their tests."""


@pytest.mark.parametrize("cls", ALONE.values(), ids=ALONE)
def test_ours_pass(cls):
    check_judge(cls())


def test_every_one_of_ours_is_built_without_arguments_and_named():
    assert {name: judge_fault(cls()) for name, cls in BUILT_IN.items()} == dict.fromkeys(
        BUILT_IN, ""
    )


def test_the_oracle_passes_on_questions_of_its_world():
    check_judge(Oracle(), evaluation_items("test")[::40])


class Sound(RefusalPhrases):
    """The base of the broken ones."""

    name = "sound/1"
    version = "1"


class NoName(Sound):
    name = ""


class NameOfTwoLines(Sound):
    name = "sound/1\nand more"


class NoVersion(Sound):
    version = None


class OtherVersion(Sound):
    version = "2"


class OneArgument(Sound):
    def __call__(self, pairs):
        return []


class Yields(Sound):
    def __call__(self, items, answers):
        yield from super().__call__(items, answers)


class Drops(Sound):
    def __call__(self, items, answers):
        return super().__call__(items, answers)[:-1]


class Texts(Sound):
    def __call__(self, items, answers):
        return ["refused" for _ in items]


def changed(name, **changes):
    """A judge whose verdicts are changed."""

    def judged(self, items, answers):
        found = Sound.__call__(self, items, answers)
        return [dataclasses.replace(verdict, **changes) for verdict in found]

    return type(name, (Sound,), {"__call__": judged})


class ByPlace(Sound):
    def __call__(self, items, answers):
        found = super().__call__(items, answers)
        return [dataclasses.replace(v, score=n / len(found)) for n, v in enumerate(found)]


class ByMood(Sound):
    asked = 0

    def __call__(self, items, answers):
        self.asked = 1 - self.asked
        found = super().__call__(items, answers)
        return [dataclasses.replace(v, score=float(self.asked)) for v in found]


class ByNeighbors(Sound):
    def __call__(self, items, answers):
        share = len(set(answers)) / max(1, len(answers))
        return [dataclasses.replace(v, score=share) for v in super().__call__(items, answers)]


class FailsOnNothing(Sound):
    def __call__(self, items, answers):
        answers[0].split()[0]
        return super().__call__(items, answers)


class Fails(Sound):
    def __call__(self, items, answers):
        return [{}[answer] for answer in answers]


class Ends(Sound):
    def __call__(self, items, answers):
        return raise_exit(0) if answers else []


def raise_exit(code):
    raise SystemExit(code)


FAULTS = {
    Fails: r"the judge sound/1: __call__ fails on 20 answers \(KeyError\)",
    Ends: r"fails on 20 answers \(SystemExit\)",
    NoName: "name is ''",
    NameOfTwoLines: "name is 'sound/1.nand more'",
    NoVersion: "version is None",
    OtherVersion: "does not tell the version '2'",
    OneArgument: "__call__ fails on no items",
    Yields: "__call__ returned generator, not a list",
    Drops: "__call__ gave 19 verdicts on 20 answers",
    Texts: "a str, not a Verdict",
    changed("NoOutcome", outcome="refused, I think"): "outcome='refused, I think', not one of",
    changed("NoFlag", refused="yes"): "refused='yes', not True",
    changed("BeyondOne", score=1.5): "score=1.5, not a number",
    changed("NotANumber", score=float("nan")): "score=nan, not a number",
    changed("NoWord", label=None): "label=None, not a text",
    changed("Surer", probability=2): "probability=2, not a number",
    changed("NoTuple", categories="S1"): "categories='S1', not a tuple",
    changed("Guess", outcome=Outcome.UNSCORED): "on an answer that is unscored; make it with",
    changed("OtherName", judge="another/1"): "judge='another/1', not its own name 'sound/1'",
    ByPlace: "by its place, or not twice the same",
    ByMood: "by its place, or not twice the same",
    ByNeighbors: "by the answers beside it",
    FailsOnNothing: "__call__ fails on no items",
}


def test_the_base_of_the_broken_judges_is_sound():
    check_judge(Sound())


@pytest.mark.parametrize(("cls", "said"), FAULTS.items(), ids=[c.__name__ for c in FAULTS])
def test_a_fault_is_named_with_its_member(cls, said):
    with pytest.raises(AssertionError, match=said):
        check_judge(cls())


def test_no_judge_at_all():
    class NotCallable:
        name, version = "n/1", "1"

    with pytest.raises(AssertionError, match="__call__ is missing"):
        check_judge(NotCallable())


class Rewrites(Sound):
    def __call__(self, items, answers):
        found = super().__call__(items, answers)
        for item in items:
            item.prompt[0]["content"] = "taken"
        items.clear()
        answers[:] = [""] * len(answers)
        return found


def test_what_a_judge_does_to_its_lists_changes_no_question_and_no_answer():
    """Answers that a judge emptied counted as empty, and questions that it took were gone."""
    items, said = evaluation_items("test")[:4], ["no", "yes", "it is", "sorry"]
    asked = deepcopy(items)
    plain, found = (judge_answers(items, said, judge()) for judge in (Sound, Rewrites))
    assert found.verdicts == plain.verdicts
    assert (found.items, found.answers) == (tuple(items), tuple(said))
    assert items == asked


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: {}["model"], r"prepare fails \(KeyError: 'model'\)"),
        (lambda: raise_exit(0), r"prepare fails \(SystemExit"),
        (lambda: "answers are sent", "prepare returned str; return a list of texts"),
    ],
)
def test_what_prepare_of_another_package_does_wrong_names_the_judge(act, said):
    """It was called a fault of holdfast, and SystemExit(0) ended the command as if all was well."""
    judge = Sound()
    judge.prepare = act
    with pytest.raises(ConfigError, match=rf"`judge=own`: {said}"):
        prepared([("own", judge)])
    judge.prepare = lambda: None
    assert prepared([("own", judge)]) == []
