"""In-loop Panacea at every eighth step against every step: its effect on the organism, as JSON.

``holdfast bench measurements/in_loop_every.yaml --out DIR`` runs the cells. This reads its result:
every=8 minus every=1, paired by prompt and seed, with its 95 % interval, of each figure.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from holdfast.evaluation.metrics import Figure
from holdfast.results.records import Arm
from holdfast.results.result import RunResult

FIGURES: tuple[Figure, ...] = ("hs", "hs_content", "over_refusal", "fa", "usefulness")


def pairs(result: RunResult) -> list[tuple[Arm, Arm]]:
    """Return the arms (every=1, every=8) that are alike in all other settings."""
    found: dict[str, dict[int, Arm]] = {}
    for arm in result.arms:
        of_arm: Any = arm.settings.get("panacea")
        settings = dict(of_arm or {})
        if "every" in settings:
            every = int(settings.pop("every"))
            found.setdefault(json.dumps(settings, sort_keys=True), {})[every] = arm
    return [(both[1], both[8]) for both in found.values()]


def told(one: Arm, eight: Arm) -> dict[str, Any]:
    """Return both arms' figures and the difference with its interval."""
    settings: Any = one.settings["panacea"]
    differences = eight.compared_with(one).versus_plain
    rows: dict[str, Any] = {}
    for figure in FIGURES:
        change = differences[figure]
        rows[figure] = {
            "every=1": round(one.figures[figure].value, 3),
            "every=8": round(eight.figures[figure].value, 3),
            "difference": round(change.value, 3),
            "interval": [round(change.low, 3), round(change.high, 3)],
            "zero_inside": change.low <= 0 <= change.high,
        }
    return {"lam": settings["lam"], "scales": settings["scales"], "figures": rows}


def main() -> None:
    """Read the result and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the bench's folder")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    given = parser.parse_args()
    result = RunResult.load(given.folder / "result.json")
    found = {
        "benchmark": "in_loop_every",
        "command": "holdfast bench measurements/in_loop_every.yaml --out DIR",
        "seeds": result.seeds,
        "pairs": [told(*both) for both in pairs(result)],
        "machine": result.machine.model_dump() if result.machine else None,
        "versions": result.versions,
    }
    text = json.dumps(found, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
