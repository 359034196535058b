"""The suite of a hygiene check: its members, rows planted for it found, near misses left alone."""

from collections.abc import Sequence
from copy import deepcopy

from holdfast.data.checks import Check, Context
from holdfast.data.checks.protocol import Finding, Rows, check_fault, found_by
from holdfast.errors import DataError
from holdfast.testing.runs import require

__all__ = ["check_check"]

QUOTED = 20
"""So many letters of a message in a reason are a quotation; of a shorter message all, from 5 on."""


def check_check(
    given: Check,
    planted: Rows,
    near: Rows,
    context: Context = Context(),  # noqa: B008  # It is frozen.
) -> None:
    """Run the suite on a check of data.

    Args:
        given: The check.
        planted: Examples, each with a number in ``row``, in every one of which it must find
            something.
        near: Examples that only look so, in none of which it may find more than a note.
        context: What it may look at beside the rows; all that it needs.

    Raises:
        AssertionError: It breaks the protocol; names the member and what is wrong.
    """
    wrong = check_fault(given)
    require(not wrong, f"{getattr(given, 'name', given)}: {wrong}")
    missing = context.lacks(given.needs)
    require(not missing, f"{given.name}: needs {', '.join(missing)}; give it in the context")
    require(planted, f"{given.name}: no planted row was given; give one that it finds")
    require(near, f"{given.name}: no near miss was given; give a row that only looks so")
    before = deepcopy(list(planted))
    found = _found(given, planted, context)
    require(list(planted) == before, f"{given.name}: find changes the rows")
    quoting = [each.row for each in found if _quotes(each.reason, planted)]
    require(
        not quoting, f"{given.name}: find quotes text of the rows, as in its reason of {quoting}"
    )
    require(found == _found(given, planted, context), f"{given.name}: find differs the second time")
    whole = any(each.row is None for each in found)
    lost = [row["row"] for row in planted if row["row"] not in {each.row for each in found}]
    require(whole or not lost, f"{given.name}: find finds nothing in the planted rows {lost}")
    false = [each for each in _found(given, near, context) if each.severity != "note"]
    require(not false, f"{given.name}: find takes the near miss {[e.row for e in false]}")
    require(_found(given, [], context) == [], f"{given.name}: find finds something in no rows")


def _quotes(reason: str, rows: Rows) -> bool:
    """Tell whether a reason holds a message of the rows, or a long piece of one."""
    messages = [m for row in rows for m in (*row["prompt"], *row["completion"])]
    texts = [m["content"].strip() for m in messages if isinstance(m.get("content"), str)]
    return any(piece in reason for text in texts for piece in _pieces(text))


def _pieces(text: str) -> Sequence[str]:
    size = min(len(text), QUOTED)
    return [text[n : n + size] for n in range(len(text) - size + 1)] if size >= 5 else []


def _found(given: Check, rows: Rows, context: Context) -> list[Finding]:
    try:
        return found_by(given, rows, context)
    except DataError as error:
        raise AssertionError(str(error)) from error
