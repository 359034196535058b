"""Write the generated parts of README and cards: the table of defenses, the measured figures.

Usage: ``python docs/build.py [--check]``; with ``--check`` nothing is written and a part that is
out of date is an error.
"""

import argparse
import sys
from pathlib import Path

from holdfast.defenses import registry
from holdfast.report.records import BEFORE, PLAIN, Arm
from holdfast.report.result import RunResult

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "results" / "demo.json"
FIGURES = (
    ("hs", "HS"), ("hs_content", "of it right"), ("over_refusal", "over-refusal"),
    ("fa", "FA"), ("usefulness", "usefulness"),
)  # fmt: skip


def defenses_table() -> str:
    """Return the table of defenses, from their cards."""
    rows = ["| defense | stage | what it does | cost | paper |", "|---|---|---|---|---|"]
    for name, kind in registry().items():
        card, path = kind.card, f"src/holdfast/defenses/{name}/card.md"
        rows.append(
            f"| [`{name}`]({path}) | {card.stage} | {card.summary} | {card.cost} | {card.paper} |"
        )
    return "\n".join(rows)


def measured_table(result: RunResult, names: set[str] | None = None) -> str:
    """Return arms as a table of means with 95 % intervals; all arms where no names are given."""
    head = ["model", *(title for _, title in FIGURES), "time"]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for arm in result.arms:
        wanted = names is None or arm.defense in {BEFORE, PLAIN} or names & set(arm.defenses)
        if wanted:
            rows.append(_row(result, arm))
    seeds = len(result.seeds)
    return "\n".join(rows) + (
        f"\n\n`holdfast demo`, harmful mix at p = {result.config['p']}, means over {seeds} seeds "
        "with 95 % intervals; from `results/demo.json`. HS: share of harmful requests complied "
        "with; FA: accuracy on the user's task; time: relative to plain fine-tuning."
    )


def _row(result: RunResult, arm: Arm) -> str:
    cells = [{BEFORE: "before", PLAIN: "plain fine-tuning"}.get(arm.defense, arm.defense)]
    for figure, _ in FIGURES:
        estimate = arm.figures.get(figure)  # type: ignore[call-overload]
        cells.append(
            "–" if estimate is None
            else f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"
        )  # fmt: skip
    ratio = result.relative_time(arm)
    cells.append("–" if ratio is None else f"{ratio:.2f}×")
    return "| " + " | ".join(cells) + " |"


def replaced(text: str, part: str, content: str) -> str:
    """Return the text with what stands between the part's markers replaced."""
    start, end = f"<!-- {part}:start -->", f"<!-- {part}:end -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def pages() -> dict[Path, str]:
    """Return every page with generated parts as it should be."""
    readme = ROOT / "README.md"
    text = replaced(readme.read_text(), "defenses", defenses_table())
    result = RunResult.load(DEMO) if DEMO.exists() else None
    out: dict[Path, str] = {}
    if result is not None:
        text = replaced(text, "measured", measured_table(result))
        for name in registry():
            card = ROOT / "src" / "holdfast" / "defenses" / name / "card.md"
            out[card] = replaced(card.read_text(), "measured", measured_table(result, {name}))
    return {readme: text, **out}


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args().check
    stale = {path: text for path, text in pages().items() if path.read_text() != text}
    for path, text in stale.items():
        if not check:
            path.write_text(text)
    if check and stale:
        sys.exit(f"out of date, run `make docs`: {', '.join(str(p) for p in stale)}")


if __name__ == "__main__":
    main()
