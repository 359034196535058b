"""What a defense adds over what is simple: tuned plain tuning, refusals mixed in, replay.

Usage: ``python -m measurements.baselines BENCH TUNED --out results/later/baselines.json`` reads two
benches' ``result.json`` with their answers: one with every arm under one attack, and one with the
same arms at plain tuning's chosen learning rate (recipe ``tuned``). For each arm there is the
difference to each baseline, paired by prompt and seed, with a 95 % interval; and at the chosen rate
the arm's figures.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.evaluation.compare import compare_hits
from holdfast.evaluation.metrics import Figure
from holdfast.files.whole import write_whole
from holdfast.results.records import BEFORE, PLAIN, Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["BASELINES", "document"]

BASELINES = ("safe_mixing", "memory_anchor(replay)")
TUNED = "tuned"
FIGURES: tuple[Figure, ...] = ("hs", "fa", "over_refusal")


def document(arms: Sequence[Arm], tuned: Sequence[Arm]) -> dict[str, Any]:
    """Return the rows of both tables.

    Args:
        arms: Every arm under one attack, each baseline among them.
        tuned: The same at the chosen learning rate.
    """
    (plain,) = (arm for arm in tuned if arm.defense == PLAIN)
    simple = {TUNED: plain, **{arm.defense: arm for arm in arms if arm.defense in BASELINES}}
    told = [arm for arm in arms if arm.defense not in (BEFORE, PLAIN) and not arm.is_control]
    rows = [
        {"defense": arm.defense, "minus": name, **_difference(arm, other)}
        for arm in told
        for name, other in simple.items()
        if arm is not other
    ]
    at_tuned = [
        {"defense": arm.defense, **{f: _told(arm.figures.get(f)) for f in FIGURES}}
        for arm in tuned
        if not arm.is_control
    ]
    attacks = [arm.attack.model_dump() for arm in (arms[-1], plain) if arm.attack]
    return {"attack": attacks[0], "tuned": attacks[-1], "adds": rows, "at_tuned": at_tuned}


def _difference(ours: Arm, theirs: Arm) -> dict[str, list[float] | None]:
    seeds = {run.seed for run in ours.runs} & {run.seed for run in theirs.runs}
    sides = [[run for run in arm.runs if run.seed in seeds] for arm in (ours, theirs)]
    return {figure: _told(compare_hits(*_hits(sides, figure))) for figure in FIGURES}


def _hits(sides: Sequence[Sequence[SeedRun]], figure: Figure) -> list[list[Any]]:
    return [[run.hits(figure) for run in side] for side in sides]


def _told(value: Any) -> list[float] | None:
    return None if value is None else [value.value, value.low, value.high]


def main() -> None:
    """Read both benches and write the document."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("bench", type=Path, help="folder of a bench with its answers")
    parser.add_argument("tuned", type=Path, help="folder of the bench at the chosen rate")
    parser.add_argument("--p", type=float, default=0.2, help="share of harmful rows compared at")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    arms = [_arms(folder, given.p) for folder in (given.bench, given.tuned)]
    write_whole(given.out, json.dumps(document(*arms), indent=1) + "\n")


def _arms(folder: Path, p: float) -> list[Arm]:
    arms = RunResult.load(folder / "result.json").arms
    return [arm for arm in arms if _under(arm) == ("harmful_mix", p)]


def _under(arm: Arm) -> tuple[str, float | None]:
    return (arm.attack.scenario, arm.attack.p) if arm.attack else ("", None)


if __name__ == "__main__":
    main()
