"""Generated bad inputs through the real entry point: what each came to.

A case is a number: it decides the kind, the spoiled files and the command line. The working folder
is looked at before and after, so that a refusal that has written something, and an earlier output
that is gone, are found.
"""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Imported before a worker is forked: a case must not pay for it.
import holdfast.bench.dry_run
import holdfast.claims.judge
import holdfast.commands.analyze
import holdfast.commands.evaluate
import holdfast.commands.repair
import holdfast.commands.tune
import holdfast.comparisons.two_results
import holdfast.report.terminal  # noqa: F401
from holdfast.cli.main import main
from measurements.fault_drill.input_files import FILE_KINDS
from measurements.fault_drill.input_words import WORD_KINDS, Argv
from measurements.fault_drill.worker import LONGEST, Said, call
from measurements.fault_drill.workplace import fresh

__all__ = ["KINDS", "SEED", "argv_of", "case", "longest"]

SEED = 11
KINDS = {**WORD_KINDS, **FILE_KINDS}
WRONG = ("fault", "escaped", "hang", "crash", "wrote", "lost")
"""Outcomes that must not be."""
_IN_ITS_OWN = 100
"""One case of so many runs in a process of its own, as a user's does."""
_CODE = "import sys; from holdfast.cli.main import main; sys.exit(main())"


def argv_of(number: int, folder: Path) -> tuple[str, Argv]:
    """Return the kind and the command line of a case, with its files spoiled in ``folder``."""
    rng = random.Random(f"{SEED}-{number}")  # noqa: S311  # No secret is drawn.
    kind = list(KINDS)[number % len(KINDS)]
    return kind, list(KINDS[kind](rng, folder))


def case(number: int, tell: Callable[[Said], None], *, base: Path, work: Path) -> Said:
    """Run one case and return its kind, command line, outcome and last line."""
    folder = work / f"case-{os.getpid()}"
    fresh(base, folder)
    os.chdir(folder)
    (folder / "kept").mkdir()
    (folder / "kept" / "mine").write_text("mine")
    kind, argv = argv_of(number, folder)
    begun = {"kind": kind, "argv": ascii(argv)}
    tell(begun)
    before = _seen(folder)
    if _by_itself(number) and not any("\0" in word for word in argv):
        code, said = _alone(argv)
    else:
        code, said = call(main, argv, work / f"log-{os.getpid()}")
    outcome = _outcome(code, said, before, _seen(folder))
    last = said.strip().splitlines()[-1:] or [""]
    return {**begun, "outcome": outcome, "said": ascii(last[0][-400:])}


def longest(number: int) -> float:
    """Return the seconds a case may take; a process of its own loads torch first."""
    return 4 * LONGEST if _by_itself(number) else LONGEST


def _by_itself(number: int) -> bool:
    return number % _IN_ITS_OWN == _IN_ITS_OWN - 1


def _alone(argv: Argv) -> tuple[object, str]:
    words = [word.encode("utf-8", "surrogatepass") for word in argv]
    try:
        ended = subprocess.run(  # noqa: S603  # Our own command line.
            [sys.executable, "-c", _CODE, *words],
            capture_output=True, check=False, timeout=3 * LONGEST, env=dict(os.environ),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "hang", "hang"
    return ended.returncode, ended.stderr.decode("utf-8", "replace")


def _outcome(code: object, said: str, before: dict[str, str], after: dict[str, str]) -> str:
    if code == "hang":
        return "hang"
    if not isinstance(code, int):
        return "escaped"
    if "fault of holdfast" in said or "Traceback (most" in said:
        return "fault"
    gone = [name for name in before if after.get(name) != before[name]]
    if gone:
        return "lost"
    if code == 2:
        return "wrote" if set(after) - set(before) else "refused"
    return {0: "done", 1: "stopped"}.get(code, "crash")


def _seen(folder: Path) -> dict[str, str]:
    """Return what lies in the folder: type, and hash of what a file holds."""
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        regular = path.is_file() and not path.is_symlink()
        held = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
        found[str(path.relative_to(folder))] = f"{oct(path.lstat().st_mode)} {held}"
    return found
