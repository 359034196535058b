"""What each method adds over the simple ones, and what is left where plain tuning is done well."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from real_tables import table

from holdfast.evaluation.interval import Interval
from holdfast.results.records import BEFORE, PLAIN
from holdfast.results.words import DASH, arm_name, shown

__all__ = ["adds_table", "simple_parts", "tuned_table"]

HEADS = {
    "tuned": "plain, tuned", "safe_mixing": "safe mixing", "memory_anchor(replay)": "replay",
}  # fmt: skip
FIGURES = (("hs", "HS"), ("over_refusal", "over-refusal"), ("fa", "FA"))
Rows = Sequence[Mapping[str, Any]]


def simple_parts(path: Path) -> dict[str, str]:
    """Return the page's parts; empty where nothing was measured."""
    if not path.exists():
        return {"adds": "", "tuned": ""}
    given = json.loads(path.read_text())
    note = "Differences paired by prompt and seed, 95 % intervals"
    source = f"from `results/{path.parent.name}/{path.name}`."
    share = f"{given['attack']['p']:.0%} harmful rows"
    rates = [f"{given[name]['learning_rate']:.3g}" for name in ("tuned", "attack")]
    return {
        "adds": f"{adds_table(given['adds'])}\n\n{note}, at {share}; {source}",
        "tuned": f"{tuned_table(given['at_tuned'])}\n\nAt {share} and a learning rate of "
        f"{rates[0]} in place of {rates[1]}; five seeds; {source}",
    }


def adds_table(rows: Rows) -> str:
    """Return a line for each method: its HS and FA minus those of each simple baseline."""
    head = ["method", *(f"{f} minus {name}" for name in HEADS.values() for f in ("HS", "FA"))]
    lines: list[list[str]] = []
    for defense in dict.fromkeys(row["defense"] for row in rows):
        own = {row["minus"]: row for row in rows if row["defense"] == defense}
        cells = [
            _shown(own[name][figure], "difference") if name in own else DASH
            for name in HEADS
            for figure in ("hs", "fa")
        ]
        lines.append([arm_name(defense), *cells])
    return table(head, lines)


def tuned_table(rows: Rows) -> str:
    """Return a line for each arm at the learning rate that plain tuning was given by its rule."""
    head = ["model", *(title for _, title in FIGURES)]
    lines: list[list[str]] = []
    names = {PLAIN: "plain fine-tuning", BEFORE: "before"}
    for row in rows:
        cells = [_shown(row[figure], "share") for figure, _ in FIGURES]
        name = names.get(row["defense"], arm_name(row["defense"]))
        lines.append([name, *cells])
    return table(head, lines)


def _shown(value: Sequence[float] | None, kind: Any) -> str:
    return DASH if value is None else shown(Interval(*value), kind)
