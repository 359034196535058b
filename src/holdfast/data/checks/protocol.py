"""What a hygiene check is: a pure function from rows to findings, and what it may look at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from holdfast.errors import DataError, HoldfastError

__all__ = [
    "ACTIONS", "GROUP", "SEVERITIES", "Action", "Check", "Context", "Finding", "Others", "Row",
    "Rows", "Severity", "Span", "check_fault", "found_by",
]  # fmt: skip

GROUP = "holdfast.checks"
Row = Mapping[str, Any]
Rows = Sequence[Row]
"""Examples, each with its number in ``row``; prompts alone have an empty ``completion``."""
Severity = Literal["note", "warn", "alarm", "refuse"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the least; ``refuse`` is what no run could train on, or must not."""
Action = Literal["keep", "review", "mask", "drop"]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""From the least; ``mask`` is no loss on the segment."""
Counts = Literal["rows", "the set", "nothing"]
NEEDS = ("tokenizer", "max_length", "others", "refuses")


@dataclass(frozen=True)
class Span:
    """Characters of one message."""

    message: int
    """Its place in the conversation, from 0."""
    start: int
    end: int


@dataclass(frozen=True)
class Finding:
    """One thing that a check found; it holds no text of the rows."""

    check: str
    row: int | None
    """The row's number in the source; None for what is said of the whole set."""
    reason: str
    severity: Severity = "warn"
    action: Action = "review"
    span: Span | None = None


@dataclass(frozen=True)
class Others:
    """Prompts of another set, which the rows should not share."""

    name: str
    prompts: Rows
    test: bool
    """Whether a model is measured on them: then a shared row must go."""


@dataclass(frozen=True)
class Context:
    """What a check may look at beside the rows; a check names in ``needs`` what it cannot miss."""

    tokenizer: Any = None
    """The model's, with its chat template."""
    max_length: int | None = None
    """Longest row in tokens."""
    others: tuple[Others, ...] = ()
    refuses: Callable[[Sequence[str], Sequence[str]], Sequence[bool]] | None = None
    """Given questions and answers, tells which answers refuse."""

    def lacks(self, needs: Sequence[str]) -> list[str]:
        """Return which of these are not given."""
        return [name for name in needs if not getattr(self, name)]


@dataclass(frozen=True)
class Check:
    """One hygiene check."""

    name: str
    """What findings call it: the name of its entry point."""
    says: str
    """What it looks for, in a few words."""
    find: Callable[[Rows, Context], list[Finding]]
    """Returns what it finds; the same rows give the same findings."""
    needs: tuple[str, ...] = ()
    """Fields of ``Context`` without which it is not run."""
    counts: Counts = "rows"
    """What a rule can count of it: rows; 1 where something is said of the set; or nothing."""


def found_by(check: Check, rows: Rows, context: Context) -> list[Finding]:
    """Return what a check finds.

    Raises:
        DataError: It fails, or returns what are no findings of these rows; names the check.
    """
    said = f"the check {check.name}: find"
    try:
        found: Any = check.find(rows, context)
    except HoldfastError:
        raise
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{said} fails ({why}); mend the check or uninstall it") from error
    if not isinstance(found, list):
        raise DataError(f"{said} gives a {type(found).__name__}, not a list; mend the check")
    numbers = {row["row"] for row in rows}
    for each in found:
        if wrong := _wrong_with(each, check.name, numbers):
            raise DataError(f"{said} gives {wrong}; mend the check")
    return found


def _wrong_with(found: Any, name: str, numbers: set[Any]) -> str:
    if not isinstance(found, Finding):
        return f"a {type(found).__name__} and not a Finding"
    span: Any = found.span
    reason: Any = found.reason
    wrong = {
        f"check={found.check!r}, not its own name": found.check != name,
        f"row={found.row!r}, which is no row": found.row is not None and found.row not in numbers,
        f"severity={found.severity!r}, not one of {', '.join(SEVERITIES)}": found.severity
        not in SEVERITIES,
        f"action={found.action!r}, not one of {', '.join(ACTIONS)}": found.action not in ACTIONS,
        f"span={span!r}, not a Span": not (span is None or isinstance(span, Span)),
        "the action mask without a span": found.action == "mask" and span is None,
        "no reason": not (isinstance(reason, str) and reason.strip()),
    }
    return next((said for said, is_so in wrong.items() if is_so), "")


def check_fault(given: Any, name: str = "") -> str:
    """Return which member of a check is wrong and how to mend it, or ""; no row is read."""
    if not isinstance(given, Check):
        return "it is no Check; declare an object, MODULE:NAME with NAME = Check(...)"
    if name and given.name != name:
        return f"name is {given.name!r}; give it the entry point's, {name!r}"
    says: Any = given.says
    if not (isinstance(says, str) and says.strip()):
        return f"says is {says!r}; give a few words on what it looks for"
    if not callable(given.find):
        return f"find is {given.find!r}; give a function of rows and context"
    return _named_fault(given)


def _named_fault(given: Check) -> str:
    """Return which field holds a name that nobody knows, or ""."""
    needs: Any = given.needs
    if not isinstance(needs, tuple) or set(needs) - set(NEEDS):
        return f"needs is {needs!r}; give a tuple of some of {', '.join(NEEDS)}"
    if given.counts not in get_args(Counts):
        return f"counts is {given.counts!r}; give one of {', '.join(get_args(Counts))}"
    return ""
