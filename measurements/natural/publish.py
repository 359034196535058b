"""What is published of the recipe ``natural``: its worst case beside the published bench's arms.

Usage: ``python -m measurements.natural.publish OUT [CHOICE]`` reads the bench in OUT (and that of
``natural_choice`` in CHOICE) and writes results/natural/: table.csv, worst_case.csv, choice.csv and
summary.json. What has not run here, and stands in results/bench, is shown with the seeds of there.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.comparisons.exports import csv_text
from holdfast.evaluation.interval import Interval
from holdfast.evaluation.settings.worst_case import worst_case
from holdfast.files.whole import write_whole
from holdfast.results.hits import has_answers, seeds_of, table_of
from holdfast.results.records import Arm
from holdfast.results.result import RunResult

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "results" / "natural"
TAKEN = ("before", "none", "panacea", "resta")
"""Arms of the published bench, under the same attacks."""
CARD = ROOT / "src" / "holdfast" / "defenses" / "natural_repair" / "card.md"
BREAKS = TARGET / "breaks.json"
BROKEN = {
    "hs": "HS", "hs_other_hazards": "other hazards", "hs_prefilled": "answer begun for it",
    "hs_after_benign_tune": "tuned again, harmless",
    "hs_after_harmful_tune": "tuned again, harmful",
    "over_refusal": "over-refusal",
}  # fmt: skip
FIGURES = ("hs", "fa", "usefulness", "over_refusal")


def main() -> None:
    """Read the benches and write what is published."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("choice", type=Path, nargs="?")
    given = parser.parse_args()
    ours = RunResult.load(given.out / "result.json")
    theirs = RunResult.load(ROOT / "results" / "bench" / "result.json")
    attacks = list(dict.fromkeys(arm.attack for arm in ours.arms if arm.attack is not None))
    names = dict.fromkeys(arm.defense for arm in ours.arms)
    rows = [row_of(f"{name} (results/bench, seeds 0 to 4)", of(theirs, name), attacks)
            for name in TAKEN if name not in names]  # fmt: skip
    rows += [row_of(name, of(ours, name), attacks) for name in names]
    TARGET.mkdir(parents=True, exist_ok=True)
    write_whole(TARGET / "worst_case.csv", csv_text([flat(row) for row in rows]))
    write_whole(TARGET / "table.csv", (given.out / "table.csv").read_text(encoding="utf-8"))
    if given.choice is not None:
        write_whole(TARGET / "choice.csv", (given.choice / "table.csv").read_text(encoding="utf-8"))
    told = {"attacks": [attack.model_dump() for attack in attacks], "rows": rows}
    write_whole(TARGET / "summary.json", json.dumps(told, indent=1, default=str) + "\n")
    card = with_part(CARD.read_text(encoding="utf-8"), "natural", shown(rows))
    if BREAKS.exists():
        card = with_part(card, "breaks", broken(json.loads(BREAKS.read_text(encoding="utf-8"))))
    write_whole(CARD, card)
    for row in rows:
        print(
            row["arm"], {f: row[f] and round(row[f]["value"], 3) for f in FIGURES}, row["seconds"]
        )


def of(result: RunResult, name: str) -> list[Arm]:
    """Return the arms of this name."""
    return [arm for arm in result.arms if arm.defense == name]


def row_of(name: str, arms: Sequence[Arm], attacks: Sequence[Any]) -> dict[str, Any]:
    """Return one arm at its worst over the attacks: the most harm and refusing, the least else."""
    chosen = [arm for arm in arms if arm.attack in attacks]
    if not chosen:  # The untouched model met no attack.
        chosen = [arm for arm in arms if arm.attack is None and arm.scenario in ("", "harmful_mix")]
    found = {figure: worst_of(chosen, figure) for figure in FIGURES}
    seconds = [run.seconds for arm in chosen for run in arm.runs if run.seconds is not None]
    return {
        "arm": name, "attacks": len(chosen), "seeds": min(len(arm.runs) for arm in chosen), **found,
        "seconds": round(sum(seconds) / len(seconds), 1) if seconds else None,
        "settings": chosen[0].settings,
    }  # fmt: skip


def worst_of(arms: Sequence[Arm], figure: Any) -> dict[str, Any]:
    """Return the worst value of a figure with its interval, over seeds and questions.

    Where answers are gone, it is that of the arm whose own value is worst.
    """
    lower = figure in ("fa", "usefulness")
    if all(has_answers(arm, figure) for arm in arms):
        table = table_of(arms, figure, seeds_of(arms))
        if lower:
            missed = worst_case([[[not hit for hit in row] for row in one] for one in table])
            return ends(Interval(1 - missed.value, 1 - missed.high, 1 - missed.low))
        return ends(worst_case(table))
    shares = [share for arm in arms if (share := arm.figures.get(figure)) is not None]
    pick = min if lower else max
    return ends(pick(shares, key=lambda share: share.value))


def ends(found: Any) -> dict[str, Any]:
    """Return value and interval."""
    return {"value": found.value, "low": found.low, "high": found.high}


def shown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as the card shows them."""
    lines = ["| model | worst HS | least FA | least usefulness | most over-refusal | seeds |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        cells = [f"{one['value']:.2f} ({one['low']:.2f}–{one['high']:.2f})" for f in FIGURES
                 if (one := row[f])]  # fmt: skip
        lines.append(f"| {row['arm']} | {' | '.join(cells)} | {row['seeds']} |")
    return "\n".join(lines)


def broken(found: dict[str, Any]) -> str:
    """Return what ``measurements.natural.breaks`` found, as the card shows it: means over seeds."""
    lines = [f"| model | {' | '.join(BROKEN.values())} |", "|---|" + "---|" * len(BROKEN)]
    for row in found["rows"]:
        cells = ["–" if row[name] is None else f"{row[name]:.2f}" for name in BROKEN]
        lines.append(f"| {row['arm']} | {' | '.join(cells)} |")
    said = f"p = {found['p']}, means over seeds {', '.join(map(str, found['seeds']))}"
    return "\n".join([*lines, "", f"{said} (`results/natural/breaks.json`)."])


def with_part(text: str, name: str, content: str) -> str:
    """Return the text with ``content`` between the markers of this name."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    head, rest = text.split(start)
    return f"{head}{start}\n{content}\n{end}{rest.partition(end)[2]}"


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row for the CSV."""
    out: dict[str, Any] = {key: row[key] for key in ("arm", "attacks", "seeds")}
    for figure in FIGURES:
        out |= {f"{figure}{end}": row[figure][of] for end, of in
                (("", "value"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
    return {**out, "seconds": row["seconds"]}


if __name__ == "__main__":
    main()
