"""How a command ends that was given limits: the verdict's own exit code."""

from typing import Any

import typer

__all__ = ["end_with"]


def end_with(gate: Any) -> None:
    """End with the exit code of a ``Gate``: 0 pass, 3 fail, 4 undecided; go on without one."""
    if gate is not None and gate.exit_code:
        raise typer.Exit(gate.exit_code)
