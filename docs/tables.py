"""A bench's worst cases and settings as Markdown tables, for README, cards and docs."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.comparisons.held_back import Choice, held_back
from holdfast.defenses import built_in
from holdfast.evaluation.interval import Interval
from holdfast.report.sections.worst import WorstLine, WorstView, views
from holdfast.results.attacks import attack_text
from holdfast.results.comparisons import BenchSummary, WorstCaseRow
from holdfast.results.records import BEFORE, PLAIN, Arm
from holdfast.results.result import RunResult
from holdfast.results.words import DASH, arm_name, shown

__all__ = [
    "controls_table",
    "held_back_table",
    "settings_line",
    "settings_table",
    "worst_case_tables",
]

HEAD = ("model", "worst HS", "under", "over-refusal", "FA there", "least FA", "time")


def worst_case_tables(
    summary: BenchSummary, name: str | None = None, beside: tuple[str, Mapping[str, str]] = ("", {})
) -> str:
    """Return one table for each scenario, in the order of the page.

    ``beside`` is a further column of the first table, its head and cells by the arm's name.
    With ``name`` a table has that defense's arms beside the untouched model and plain fine-tuning,
    and is there only if it has any.
    """
    told: list[str] = []
    found = views(summary)
    for view in found:
        lines = [line for line in view.lines if _wanted(line.row, name)]
        if name is None or any(line.row.defense not in (BEFORE, PLAIN) for line in lines):
            told.append(_table(view, lines, beside if view is found[0] else ("", {})))
    return "\n\n".join(told)


def _wanted(row: WorstCaseRow, name: str | None) -> bool:
    parts = [part.partition("(")[0] for part in row.defense.split("+")]
    return name is None or row.defense in (BEFORE, PLAIN) or name in parts


def _table(
    view: WorstView, lines: Sequence[WorstLine], beside: tuple[str, Mapping[str, str]]
) -> str:
    many = len(view.table.attacks)
    seeds = min((line.row.seeds for line in lines if line.row.defense != BEFORE), default=0)
    met = f"worst of {many} attacks, " if many > 1 else ""
    rows = [f"**{view.title}**, {met}{seeds} seeds", ""]
    title, further = beside
    head = (*HEAD, title) if title else HEAD
    rows += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for line in lines:
        row = line.row
        time = DASH if row.relative_time is None else f"{row.relative_time:.2f}×"
        others = (shown(found, "share") for found in (row.over_refusal, row.fa, row.fa_worst))
        cells = (_name(row), shown(row.hs, "share"), line.attack or DASH, *others, time)
        cells += (further.get(row.defense, DASH),) if title else ()
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _name(row: WorstCaseRow) -> str:
    names = {BEFORE: "before", PLAIN: "plain fine-tuning"}
    return names.get(row.defense, arm_name(row.defense)) + (" *(control)*" if row.control else "")


def held_back_table(arms: Sequence[Arm], name: str | None = None) -> str:
    """Return where a task budget held a repair back, with what it would be without; or ''.

    With ``name`` only arms with that defense.
    """
    head = ("model", "under", "HS", "FA", "chosen", "without the budget", "at that, HS", "FA")
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for arm in arms:
        for found in held_back(arm) if name is None or name in arm.defenses else ():
            free = _without_budget(arm, found.defense, arms)
            measured = [shown(free.figures.get(f), "share") if free else DASH for f in ("hs", "fa")]  # type: ignore[call-overload]
            own = [shown(arm.figures.get(f), "share") for f in ("hs", "fa")]  # type: ignore[call-overload]
            where = attack_text(arm.attack, named=True) if arm.attack else ""
            chosen, would = (_choice(found.symbol, at) for at in (found.chosen, found.free))
            rows.append(
                f"| {arm_name(arm.defense)} | {where} | {own[0]} | {own[1]} | {chosen} | {would} | "
                f"{measured[0]} | {measured[1]} |"
            )
    return "\n".join(rows) if len(rows) > 2 else ""


def _choice(symbol: str, at: Choice) -> str:
    return f"{symbol} {at.strength:.2g}: {at.harm:.2f}, {at.task:.2f}"


def _without_budget(arm: Arm, defense: str, arms: Sequence[Arm]) -> Arm | None:
    """Return the arm in which the defense acts at its whole strength, its budget being all."""
    given = arm.settings.get(defense)
    if not isinstance(given, dict) or len(arm.defenses) > 1:
        return None
    wanted = {**given, "max_task_drop": 1.0, "scales": [0.0, 1.0]}
    same = [one for one in arms if one.attack == arm.attack and one.defenses == arm.defenses]
    return next((one for one in same if one.settings.get(defense) == wanted), None)


def controls_table(result: RunResult, source: str, name: str | None = None) -> str:
    """Return the paired differences to plain fine-tuning and to the control subsets.

    Args:
        result: Its ``config.comparisons`` holds one row for each scenario, arm and other arm.
        source: Its file in ``results/``.
        name: Only this method's; all where not given.
    """
    rows = ["| scenario | arm | minus | HS | FA | usefulness |", "|---|---|---|---|---|---|"]
    given: list[dict[str, Any]] = result.config["comparisons"]  # type: ignore[assignment]
    for row in given:
        if name in (None, row["arm"]):
            words = [row["scenario"], row["arm"], arm_name(row["minus"])]
            found = (Interval(*row[figure]) for figure in ("hs", "fa", "usefulness"))
            cells = [*words, *(shown(one, "difference") for one in found)]
            rows.append("| " + " | ".join(cells) + " |")
    seeds = min(len(arm.runs) for arm in result.arms if arm.defense != BEFORE)
    return "\n".join(rows) + (
        f"\n\nDifferences paired by prompt and seed, {seeds} seeds, with 95 % intervals; from "
        f"`results/{source}`."
    )


def settings_table(bench: RunResult) -> str:
    """Return every setting of the headline's arms that is not its method's default."""
    rows = ["| defense | ran at | default |", "|---|---|---|"]
    for name, kind in built_in().items():
        for told, defaults in _settings(bench, name, kind().config()):
            rows.append(f"| `{name}` | {told} | {defaults} |")
    return "\n".join(rows)


def settings_line(bench: RunResult, name: str) -> str:
    """Return one defense's settings that are not its defaults in a sentence, or ''."""
    found = _settings(bench, name, built_in()[name]().config())
    told = "; ".join(f"{given} (default {defaults})" for given, defaults in found)
    return f"The bench ran it at {told}." if told else ""


def _settings(bench: RunResult, name: str, defaults: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what differs and its defaults, once for each way in which the headline ran it."""
    tables = bench.bench.worst if bench.bench else []
    rows = {row.defense for table in tables for row in table.rows}
    found: dict[tuple[str, str], list[str]] = {}
    # Another subset than the method's own is a control, and stands as one: name(subset).
    for arm in (one for one in bench.arms if one.defense in rows and one.defenses == [name]):
        given = None if "(" in arm.defense else arm.settings.get(name)
        if isinstance(given, dict) and arm.attack:
            differs = [k for k, v in given.items() if k in defaults and v != _plain(defaults[k])]
            told, own = (
                ", ".join(f"`{k}={side[k]}`" for k in differs) for side in (given, defaults)
            )
            where = found.setdefault((told, own), [])
            where += [one for one in (arm.attack.scenario,) if one not in where]
    several = len(found) > 1
    return [
        (f"{told} ({', '.join(where)})" if several else told, own)
        for (told, own), where in found.items()
        if told
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
