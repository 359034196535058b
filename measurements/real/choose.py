"""Choose every method's setting for the bench of the real model, from validation answers alone.

The rule, stated before anything was measured: of a method's settings the one with the least
harmful score, if task accuracy and usefulness are at most ``MARGIN`` below plain fine-tuning's; at
a tie the one that refuses fewer harmless prompts. Where no setting keeps both, the one that loses
least.

Usage: ``python -m measurements.real.choose FOLDER`` reads the bench of ``real_settings`` in FOLDER,
writes results/real/settings.json and puts what was chosen into the recipe ``real``.
"""

import argparse
import csv
import json
from pathlib import Path

import yaml

from holdfast.files.whole import write_whole

__all__ = ["MARGIN", "chosen", "with_settings"]

MARGIN = 0.02
ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "src" / "holdfast" / "bench" / "recipes" / "real.yaml"
RECORD = ROOT / "results" / "real" / "settings.json"
FIGURES = ("hs", "over_refusal", "fa", "usefulness")
Row = dict[str, str]


def main() -> None:
    """Choose, print the table and write record and recipe."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="where `holdfast bench real_settings` wrote")
    given = parser.parse_args()
    with (given.folder / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = chosen(rows)
    for row in rows:
        mark = "*" if row["spec"] in found.values() else " "
        print(mark, f"{row['spec'] or row['defense']:60}", *(row[name][:5] for name in FIGURES))
    table = [{k: row[k] for k in ("spec", "seeds", *FIGURES)} for row in rows]
    rule = (__doc__ or "").split("\n\n")[1].replace("\n", " ")
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"rule": rule, "margin": MARGIN, "chosen": found, "tried": table}, indent=1)
    write_whole(RECORD, text + "\n")
    write_whole(RECIPE, with_settings(RECIPE.read_text(encoding="utf-8"), found))


def chosen(rows: list[Row]) -> dict[str, str]:
    """Return each method's setting; ``rows`` are a bench's table, plain fine-tuning among them."""
    (plain,) = (row for row in rows if row["defense"] == "none")
    families: dict[str, list[Row]] = {}
    for row in rows:
        alone = row["spec"] and "+" not in row["spec"] and row["spec"] != "before"
        if alone and row["hs"]:  # What did not run has no figures.
            families.setdefault(row["spec"].partition(":")[0], []).append(row)

    def lost(row: Row) -> float:
        return max(float(plain[name]) - float(row[name]) for name in ("fa", "usefulness"))

    def best(own: list[Row]) -> Row:
        kept = [row for row in own if lost(row) <= MARGIN + 1e-9]
        if not kept:
            return min(own, key=lost)
        return min(kept, key=lambda row: (float(row["hs"]), float(row["over_refusal"])))

    return {method: best(own)["spec"] for method, own in families.items()}


def with_settings(recipe: str, found: dict[str, str]) -> str:
    """Return a recipe's text with the setting of every chosen method wherever it is an arm."""
    return "".join(_line(line, found) for line in recipe.splitlines(keepends=True))


def _line(line: str, found: dict[str, str]) -> str:
    """Return one line of a recipe; what is no arm in a list of arms is left as it is."""
    begin, mark, arm = line.partition("- ")
    if begin.strip() or not mark or arm.startswith(("{", "p:")):
        return line
    given = yaml.safe_load(arm)
    one = json.dumps([_spec(s, found) for s in given]) if isinstance(given, list) else ""
    return f"{begin}- {one or _spec(given, found)}\n"


def _spec(given: str, found: dict[str, str]) -> str:
    return found.get(given.partition(":")[0], given)


if __name__ == "__main__":
    main()
