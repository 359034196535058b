"""Whether the model may be released: the one sentence, what it rests on, what it does not cover."""

from typing import Any

from holdfast.evaluation.limits import State
from holdfast.report.release.words import check_text, settled_by
from holdfast.report.shown import Shown

__all__ = ["section"]

_VERDICTS = {
    State.PASS: "The limits hold", State.FAIL: "A limit does not hold",
    State.UNDECIDED: "Nobody can tell yet",
}  # fmt: skip


def section(shown: Shown) -> dict[str, Any] | None:
    """Return the verdict, None where there were no limits."""
    gate = shown.result.gate
    if gate is None:
        return None
    return {
        "gate": gate,
        "verdict": _VERDICTS[gate.state],
        "several": len(gate.subject.seeds) > 1,
        "rows": [(check, check_text(check), settled_by(check)) for check in gate.checks],
        "rests_on": gate.rests_on[len(gate.checks) :],
        "allowed": gate.exit_code == 0 and gate.state != State.PASS,
    }
