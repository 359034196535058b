"""What stands beside the real model's bench: its alignment, settings chosen, and its analysis."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from real_tables import table

from holdfast.results.words import DASH

__all__ = ["alignment_table", "analysis_table", "settings_table"]

FIGURES = {
    "harmful_score": "HS", "over_refusal": "over-refusal", "plain_refusal": "plain refusal",
    "kept": "answers kept",
}  # fmt: skip


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


def settings_table(path: Path) -> str:
    """Return every setting that was tried on validation questions, the chosen marked; or ''."""
    if not path.exists():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    taken = set(found["chosen"].values())
    figures = ("hs", "over_refusal", "fa", "usefulness")
    lines = table(
        ("arm", "seeds", *figures, "chosen"),
        [
            [f"`{row['spec'] or 'none'}`", str(row["seeds"]), *(_mean(row[f]) for f in figures),
             "**yes**" if row["spec"] in taken else ""]
            for row in found["tried"]
        ],
    )  # fmt: skip
    note = f"Means on validation questions and seeds alone; from `results/real/{path.name}`."
    return f"{found['rule']}\n\n{lines}\n\n{note}"


def analysis_table(path: Path, picture: Path | None = None) -> str:
    """Return patterns A to C by both methods, and how alike these are; '' without the file.

    ``picture`` of the pages' images is shown below where it is there.
    """
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
    drawn = f"\n\n![By module, by layer, and by both methods](images/{picture.name})" if (
        picture is not None and picture.exists()
    ) else ""  # fmt: skip
    return f"{lines}\n\n{note}{drawn}"


def _verdict(pattern: Mapping[str, Any]) -> str:
    return f"**{pattern['verdict']}**: {pattern['figure']}".replace("|", "\\|")


def _mean(value: str) -> str:
    return f"{float(value):.2f}" if value else DASH
