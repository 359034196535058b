"""What the terminal says of a choice."""

from pathlib import Path
from typing import Any

from holdfast.cli.shell.console import print_json, print_lines, print_rows, say

__all__ = ["NOTHING_PASSED", "print_plan", "tell_choice"]

NOTHING_PASSED = 4
"""Exit code where no candidate was shown to hold the limits: the gate's of undecided."""


def _told(test: Any) -> str:
    """Return a limit with the attack that it was held under, where it was one."""
    return test.limit if test.attack == "direct" else f"{test.limit} {test.attack}"


def print_plan(given: Any, *, as_json: bool) -> None:
    """Print what would be chosen from, and on how many prompts."""
    rows = [{"candidate": c.name, "plain_runs": c.cost, "defenses": c.cell.specs or "none"}
            for c in given.field.candidates]  # fmt: skip
    counts = {part: given.counts(part) for part in ("search", "certify")}
    if as_json:
        print_json({"candidates": rows, "prompts": counts, "left_out": given.division.left_out})
        return
    print_rows("candidates", rows)
    for part, found in counts.items():
        say(f"{part}: {', '.join(f'{n} {kind}' for kind, n in found.items())}")
    for note in given.field.notes:
        say(f"note: {note}")


def tell_choice(found: Any, out: Path, *, as_json: bool) -> None:
    """Print what was certified, the statement, and what it does not say."""
    if as_json:
        print_json({"output": str(out), **found.model_dump(mode="json", exclude={"recipe"})})
        return
    rows = [
        {"limit": _told(test), "of": one.name, "n": test.n, "bad": test.value,
         "bad, at most": test.bound, "p": test.p, "holds": "yes" if test.holds else "no"}
        for one in found.tested for test in one.limits
    ]  # fmt: skip
    print_rows("certification", rows)
    print_lines([f"{found.statement}\n"])
    for line in found.settles:
        print_lines([f"  {line}\n"])
    if found.chosen is not None:
        print_lines(["It holds for:\n", *(f"  {line}\n" for line in found.scope)])
    for note in found.warnings:
        say(f"note: {note}")
    if (out / "model").is_dir():
        say(f"model: {out / 'model'}")
    say(f"record: {out / 'choose.json'}")
    say(f"{out / 'shared'} holds models that were not chosen: never release them")
