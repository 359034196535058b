"""What stands beside the real model's bench: its alignment, settings chosen, and its analysis."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from real_tables import table

from holdfast.evaluation.interval import Interval
from holdfast.results.attacks import short
from holdfast.results.words import DASH, shown

__all__ = ["alignment_table", "analysis_table", "validation_table"]

FIGURES = {
    "harmful_score": "HS", "over_refusal": "over-refusal", "plain_refusal": "plain refusal",
    "kept": "answers kept",
}  # fmt: skip
Row = Mapping[str, str]


def alignment_table(path: Path) -> str:
    """Return every alignment that was tried and the rule that chose one; '' without the file."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = [("untuned", DASH, found["untuned"])]
    rows += [(f"`{one['name']}`", one["rows"], one["figures"]) for one in found["tried"]]
    for one in found["seeds"]:
        rows.append((f"**chosen, seed {one['seed']}**", DASH, one["figures"]))
    lines = table(
        ("alignment", "rows", *FIGURES.values()),
        [[name, str(n), *(f"{told[key]:.2f}" for key in FIGURES)] for name, n, told in rows],
    )
    met = "The chosen one is" if found["limits_met"] else "**No setting was**"
    said = f"{met} within the limits. From `results/real/{path.name}`."
    return f"{found['rule']}\n\n{said}\n\n{lines}"


def validation_table(path: Path) -> str:
    """Return the bench on validation questions that settings were chosen by; '' without it."""
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figures = [name for name in ("hs", "over_refusal", "fa", "usefulness") if name in rows[0]]
    lines = table(
        ("arm", "attack", "seeds", *figures),
        [
            [f"`{row['spec'] or row['defense']}`", _attack(row), row["seeds"],
             *(shown(_interval(row, name), "share") for name in figures)]
            for row in rows
        ],
    )  # fmt: skip
    return f"{lines}\n\nValidation questions and seeds alone; from `results/real/{path.name}`."


def analysis_table(path: Path) -> str:
    """Return patterns A to C by both methods, and how alike these are; '' without the file."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    names = list(found["patterns"])
    patterns = list(found["patterns"][names[0]])
    lines = table(
        ("pattern", *(f"by {name}" for name in names)),
        [[key, *(_verdict(found["patterns"][name][key]) for name in names)] for key in patterns],
    )
    seconds = ", ".join(f"{name} {of['all']:.0f} s" for name, of in found["seconds"].items())
    rank = ", ".join(f"{name} {value:.2f}" for name, value in found["spearman"].items())
    both = found["overlap"]
    note = (
        f"{found['layers']} layers, {len(found['modules'])} modules; time: {seconds}. Rank "
        f"correlation of the gradient's estimate with exact noise: {rank}. Of Mods_Rob they share "
        f"{both['shared']} modules (by chance {both['shared_by_chance']}). From "
        f"`results/real/{path.name}`."
    )
    return f"{lines}\n\n{note}"


def _verdict(pattern: Mapping[str, Any]) -> str:
    return f"**{pattern['verdict']}**: {pattern['figure']}".replace("|", "\\|")


def _attack(row: Row) -> str:
    rate = short(float(row["learning_rate"]))
    return f"p = {float(row['p']):g}, learning rate {rate}, {row['steps']} steps"


def _interval(row: Row, name: str) -> Interval | None:
    ends = [row[f"{name}{end}"] for end in ("", "_low", "_high")]
    return Interval(*map(float, ends)) if all(ends) else None
