"""Hygiene checks of rows: ours, and those that other packages declare, run one after the other."""

from collections.abc import Mapping
from typing import Any

from holdfast.data.checks.ciphers import CIPHER
from holdfast.data.checks.control import CONTROL
from holdfast.data.checks.duplicates import DUP
from holdfast.data.checks.formats import FORMAT, OPENING
from holdfast.data.checks.languages import LANGUAGE
from holdfast.data.checks.leak import LEAK
from holdfast.data.checks.lengths import LENGTH
from holdfast.data.checks.personas import PERSONA
from holdfast.data.checks.protocol import (
    GROUP,
    Check,
    Context,
    Finding,
    Rows,
    Span,
    check_fault,
    found_by,
)
from holdfast.data.checks.refusals import REFUSAL, REFUSE_COMPLY
from holdfast.data.checks.secrets import SECRET
from holdfast.data.checks.shapes import SHAPE
from holdfast.data.checks.triggers import TRIGGER
from holdfast.files.entry_points import Registry

__all__ = ["CHECKS", "Check", "Context", "Finding", "Span", "findings_in"]

_OWN = (
    DUP, LEAK, CONTROL, REFUSAL, REFUSE_COMPLY, PERSONA, OPENING, CIPHER, TRIGGER, LANGUAGE, LENGTH,
    SHAPE, FORMAT, SECRET,
)  # fmt: skip
CHECKS: Registry[Check] = Registry(GROUP, "check", {one.name: one for one in _OWN}, check_fault)


def findings_in(
    rows: Rows,
    context: Context = Context(),  # noqa: B008  # It is frozen.
) -> tuple[list[Finding], Mapping[str, list[str]]]:
    """Return what every check finds in rows, and what each check that did not run lacks.

    Raises:
        DataError: An installed check fails.
    """
    found: list[Finding] = []
    unchecked: dict[str, list[str]] = {}
    each: Any = rows
    numbered = [{**row, "row": row.get("row") or n} for n, row in enumerate(each, start=1)]
    for name, check in CHECKS.all().items():
        if missing := context.lacks(check.needs):
            unchecked[name] = missing
        else:
            found += found_by(check, numbered, context)
    return found, unchecked
