"""A gate's verdict on a terminal: the verdict first, then each limit, then what settles it."""

from collections.abc import Iterator
from typing import Any

from holdfast.cli.shell.console import print_lines

__all__ = ["print_gate"]


def print_gate(gate: Any) -> None:
    """Write a ``Gate`` to stdout; nothing where there is none."""
    if gate is not None:
        print_lines(f"{line}\n" for line in _lines(gate))


def _lines(gate: Any) -> Iterator[str]:
    from holdfast.report.release.words import check_text, settled_by  # noqa: PLC0415  # Heavy.

    yield f"{str(gate.state).upper()}  {gate.claim}"
    several = len(gate.subject.seeds) > 1
    for check in gate.checks:
        attack = "" if check.attack == "direct" else f" {check.attack}"
        seed = f" seed {check.seed}" if several else ""
        yield f"  {check.state:<9}  {check.limit}{attack}{seed}: {check_text(check)}"
        if settles := settled_by(check):
            yield f"             {settles}"
    if gate.look is not None:
        yield f"  look {gate.look} at these prompts ({gate.ledger})"
    if gate.exit_code == 0 and gate.state != "pass":
        yield "  undecided was allowed to end with 0: nothing may be claimed"
