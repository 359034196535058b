"""What each case came to, a line each in a file that a drill which was stopped goes on from."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Tally"]


class Tally:
    """The outcomes of one part of the drill."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text().splitlines() if file.exists() else []
        self.found: dict[int, dict[str, Any]] = {}
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:  # A drill that was killed leaves half a line.
                continue
            self.found[one["case"]] = one

    def left(self, cases: Iterable[int]) -> list[int]:
        """Return the cases that have not been run."""
        return [case for case in cases if case not in self.found]

    def add(self, case: int, said: dict[str, Any]) -> None:
        """Keep what a case came to."""
        self.found[case] = {"case": case, **said}
        with self.file.open("a") as out:
            out.write(json.dumps(self.found[case]) + "\n")

    def summary(self, cases: Iterable[int], wrong: Iterable[str]) -> dict[str, Any]:
        """Return the counts by outcome and by kind, and the cases whose outcome must not be."""
        chosen = [self.found[case] for case in cases if case in self.found]
        kinds = sorted({str(one.get("kind")) for one in chosen})
        return {
            "cases": len(chosen),
            "outcomes": dict(Counter(one["outcome"] for one in chosen)),
            "kinds": {
                kind: dict(Counter(o["outcome"] for o in chosen if str(o.get("kind")) == kind))
                for kind in kinds
            },
            "wrong": [one for one in chosen if one["outcome"] in set(wrong)],
            "longest_seconds": max((one.get("seconds", 0) for one in chosen), default=0),
        }
