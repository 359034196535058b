"""``leak``: rows whose prompts stand in a set that they should not share."""

from holdfast.data.checks.protocol import Action, Check, Context, Finding, Rows, Severity
from holdfast.data.overview.overlap import WORDS, overlap_of

__all__ = ["LEAK"]


def _find(rows: Rows, context: Context) -> list[Finding]:
    found: list[Finding] = []
    for other in context.others:
        shared = overlap_of(rows, other.prompts, other.name)
        severity: Severity = "refuse" if other.test else "warn"
        action: Action = "drop" if other.test else "review"
        said = f"asks what {other.name} asks"
        found += [Finding("leak", row, said, severity, action) for row in shared.same]
        said = f"shares {WORDS} words in a row with a prompt of {other.name}"
        found += [Finding("leak", row, said) for row in shared.alike]
    return found


LEAK = Check("leak", "prompts that a test set or the defender's sets hold too", _find, ("others",))
