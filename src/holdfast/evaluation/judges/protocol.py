"""What a judge must be, checked where it is loaded and wherever its verdicts are used."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Protocol, TypeAlias, runtime_checkable

from holdfast.errors import DataError, HoldfastError
from holdfast.evaluation.metrics import Item, Outcome, Verdict

__all__ = [
    "GROUP", "WORDS", "Judge", "MakesJudge", "fault", "is_own", "judge_fault", "tells_refusals",
    "verdicts_of", "words_of",
]  # fmt: skip

GROUP = "holdfast.judges"
_FLAGS = ("harmful", "refused", "coherent", "correct")


@runtime_checkable
class Judge(Protocol):
    """Maps ``(question, answer)`` pairs to verdicts, one each, in order."""

    @property
    def name(self) -> str:
        """What results and reports call it, version included; every verdict's ``judge``."""
        ...

    @property
    def version(self) -> str:
        """A text that changes whenever the same answer could get another verdict."""
        ...

    def __call__(self, items: Sequence[Item], answers: Sequence[str]) -> list[Verdict]:
        """Return one verdict for each item and its answer."""
        ...


MakesJudge: TypeAlias = Callable[..., Judge]
"""The class of a judge: its arguments, all with defaults, are the options of ``--judge``."""


WORDS: dict[str, str] = {"content": "right", "garbled": "garbled"}
"""What reports call the two parts of the harmful score, where a judge has no words of its own."""


def words_of(judge: Any) -> dict[str, str]:
    """Return what a judge calls what it measures: its attribute ``words``, where it has any.

    The keys are those of ``WORDS``; a judge gives those whose meaning is another with it. A judge
    that only sees whether an answer reads like language must not call it right.
    """
    own: Any = getattr(judge, "words", None)
    given = own if isinstance(own, Mapping) else {}
    return {key: str(text) for key, text in given.items() if key in WORDS}


def tells_refusals(judge: Any) -> bool:
    """Say whether a judge tells refusals; one that reads harm alone has no kind "safe"."""
    return "safe" in getattr(judge, "kinds", ("safe",))


def fault(found: Any, _: str = "") -> str:
    """Return what keeps a loaded class from being a judge's and how to mend it, or ""."""
    if not isinstance(found, type):
        return "it is no class; declare the class itself, MODULE:CLASS"
    try:
        judge = found()
    except Exception as error:  # noqa: BLE001  # It is somebody else's class.
        return (
            f"__init__ fails without arguments ({type(error).__name__}: {error}); give every "
            "argument a default"
        )
    return judge_fault(judge)


def judge_fault(judge: Any) -> str:
    """Return which member of a judge is wrong and how to mend it, or ""; no answer is judged."""
    for member in ("name", "version"):
        value = getattr(judge, member, None)
        if not (isinstance(value, str) and value.strip() and "\n" not in value):
            return f"{member} is {value!r}; give it a text of one line"
    if judge.version not in judge.name:
        return (
            f"name {judge.name!r} does not tell the version {judge.version!r}, so results of two "
            f"versions would look alike; write name = {f'{judge.name}/{judge.version}'!r}"
        )
    own: Any = getattr(judge, "words", {})
    if not isinstance(own, Mapping) or len(words_of(judge)) != len(own):
        return f"words is {own!r}; give a mapping from {' and '.join(WORDS)} to a word, or none"
    return _call_fault(judge)


def _call_fault(judge: Any) -> str:
    if not callable(judge):
        return "__call__ is missing; add def __call__(self, items, answers) -> list[Verdict]"
    try:
        verdicts_of(judge, [], [])
    except HoldfastError as error:
        return str(error).partition(": ")[2]
    except Exception as error:  # noqa: BLE001  # It is somebody else's code.
        return (
            f"__call__ fails on no items ({type(error).__name__}: {error}); it takes (items, "
            "answers) and returns one Verdict for each, so [] for none"
        )
    return ""


def verdicts_of(judge: Any, items: Sequence[Item], answers: Sequence[str]) -> tuple[Verdict, ...]:
    """Ask a judge, and check that it gave one sound verdict for each answer.

    Raises:
        DataError: It did not; names the judge, the member and the item.
    """
    name = getattr(judge, "name", "")
    given = _called(judge, items, answers)
    wrong = "" if isinstance(given, list) else f"returned {type(given).__name__}, not a list"
    if not wrong and len(given) != len(items):
        wrong = f"gave {len(given)} verdicts on {len(items)} answers"
    for item, verdict in zip(items, given, strict=False) if not wrong else ():
        wrong = _wrong_with(verdict, name)
        if wrong:
            wrong = f"gave item {item.id!r} {wrong}"
            break
    if wrong:
        said = f"the judge {name or type(judge).__qualname__}: __call__ {wrong}"
        raise DataError(f"{said}; return one Verdict for each answer, in order")
    return tuple(given)


def _called(judge: Any, items: Sequence[Item], answers: Sequence[str]) -> Any:
    """Call a judge on lists of its own: whatever it does to them changes no question or answer.

    What somebody else's judge raises says no more here than its kind, for it may hold an answer; a
    judge that ends the program would end it as if all were well.
    """
    # What another's judge does to a question, its messages too, changes none that is kept.
    asked = list(items) if is_own(judge) else deepcopy(list(items))
    try:
        return judge(asked, list(answers))
    except (HoldfastError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_own(judge) or not items or type(error).__name__ == "OutOfMemoryError":
            raise
        name = getattr(judge, "name", "") or type(judge).__qualname__
        raise DataError(
            f"the judge {name}: __call__ fails on {len(items)} answers ({type(error).__name__}); "
            "mend the judge (check_judge() of holdfast.testing shows where), or take another"
        ) from error


def is_own(judge: Any) -> bool:
    """Tell whether a judge is holdfast's: what such a one raises is a fault of holdfast."""
    return type(judge).__module__.partition(".")[0] == "holdfast"


def _wrong_with(verdict: Any, name: str) -> str:
    if not isinstance(verdict, Verdict):
        return f"a {type(verdict).__name__}, not a Verdict"
    outcome: Any = verdict.outcome
    if not isinstance(outcome, Outcome):
        return f"outcome={outcome!r}, not one of {', '.join(map(str, Outcome))}"
    flags = [flag for flag in _FLAGS if not isinstance(getattr(verdict, flag), bool)]
    if flags:
        return f"{flags[0]}={getattr(verdict, flags[0])!r}, not True or False"
    score: Any = verdict.score
    if not (isinstance(score, int | float) and 0 <= score <= 1):
        return f"score={score!r}, not a number in [0, 1]"
    if name and verdict.judge != name:
        return f"judge={verdict.judge!r}, not its own name {name!r}"
    return _wrong_word(verdict)


def _wrong_word(verdict: Verdict) -> str:
    """Return what is wrong with what a verdict tells beyond yes and no, or ""."""
    texts: dict[str, Any] = {n: getattr(verdict, n) for n in ("label", "template_hash", "raw")}
    for name, value in texts.items():
        if not isinstance(value, str):
            return f"{name}={value!r}, not a text"
    sure: Any = verdict.probability
    if sure is not None and not (isinstance(sure, int | float) and 0 <= sure <= 1):
        return f"probability={sure!r}, not a number in [0, 1]"
    named: Any = verdict.categories
    if not (isinstance(named, tuple) and all(isinstance(n, str) for n in named)):
        return f"categories={named!r}, not a tuple of texts"
    counted = [flag for flag in _FLAGS if getattr(verdict, flag)]
    if verdict.outcome == Outcome.UNSCORED and counted:
        return f"{counted[0]}=True on an answer that is unscored; make it with Verdict.unscored"
    return ""
