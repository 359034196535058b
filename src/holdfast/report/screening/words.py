"""What a screening says, in words: the same for terminal and page."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.analysis.rows.columns import CONFOUNDERS
from holdfast.results.screening.file import ScreenedRow, ScreenFile

__all__ = [
    "NEVER", "Listed", "by_check", "head", "listed", "set_risk", "suggested", "to_know", "untold",
]  # fmt: skip

NEVER = (
    "A screening ranks and explains: a set without a finding can still break a model's safety. "
    "Tune with a defense, and measure the tuned model."
)
_ORDER = ("keep", "review", "mask", "drop")
_WORST = ("note", "warn", "alarm", "refuse")


@dataclass(frozen=True)
class Listed:
    """One row of the list."""

    row: int
    id: str | None
    percentiles: dict[str, float | None]
    why: str
    do: str
    texts: tuple[str, ...] = ()


def head(file: ScreenFile) -> str:
    """Return how many rows there are and what is to be done with them."""
    total = file.rows + len(file.unreadable)
    rows = f"{total:,} {'row' if total == 1 else 'rows'}"
    looked = f"{file.sampled:,} of {rows} looked at" if file.sampled else rows
    counts = file.counts["action"]
    told = [f"{counts[name]:,} to {name}" for name in ("drop", "mask", "review") if counts[name]]
    if n := _of_the_set(file):
        told.append(f"{n} to review on the whole set")
    return f"{looked}: {', '.join(told) or 'nothing to drop, mask or review'}"


def _of_the_set(file: ScreenFile) -> int:
    """Return how many findings on the whole set ask for a look."""
    return sum(each.row is None and each.action != "keep" for each in file.findings)


def by_check(file: ScreenFile) -> list[tuple[str, int, str]]:
    """Return each check that found more than notes: its name, its rows, its commonest reason."""
    found: dict[str, dict[str, set[int | None]]] = {}
    for each in file.findings:
        if each.severity != "note":
            reason = _general(each.reason)
            found.setdefault(each.check, {}).setdefault(reason, set()).add(each.row)
    return [
        (name, len({row for rows in reasons.values() for row in rows if row is not None}),
         max(reasons, key=lambda reason: len(reasons[reason])))
        for name, reasons in found.items()
    ]  # fmt: skip


def _general(reason: str) -> str:
    """Return a reason without what differs from row to row."""
    return re.sub(r"\brow \d+", "another row", re.sub(r" \([^)]*\)", "", reason))


def to_know(file: ScreenFile) -> list[str]:
    """Return what is said of the whole set."""
    whole = [each.reason for each in file.findings if each.row is None and each.severity == "note"]
    return [*whole, *file.notes]


def untold(file: ScreenFile) -> str:
    """Return which checks did not run, and what each needs; "" where all did."""
    by_need: dict[str, list[str]] = {}
    for name, need in file.unchecked.items():
        by_need.setdefault(need, []).append(name)
    return "; ".join(f"{', '.join(names)} ({need})" for need, names in by_need.items())


def listed(file: ScreenFile, top: int) -> list[Listed]:
    """Return the rows that matter most: by what is to be done, then how grave, then the score."""
    reasons: dict[int, list[str]] = {}
    texts: dict[int, list[str]] = {}
    for each in file.findings:
        if each.row is not None and (each.severity, each.action) != ("note", "keep"):
            reasons.setdefault(each.row, []).append(each.reason)
            if each.text:
                texts.setdefault(each.row, []).append(each.text)
    common = file.counts.get("check", {})
    matter = [row for row in file.screened if _matters(row)]
    rows = sorted(matter, key=lambda row: _rank(row, common))[:top]
    return [
        Listed(
            row=row.row, id=row.id,
            percentiles=_percentiles(row),
            why="; ".join(dict.fromkeys(reasons.get(row.row, ()))) or "ranks high among these rows",
            do=row.action, texts=tuple(dict.fromkeys(texts.get(row.row, ()))),
        )
        for row in rows
    ]  # fmt: skip


def _matters(row: ScreenedRow) -> bool:
    return row.action != "keep" or bool(_percentiles(row))


def _percentiles(row: ScreenedRow) -> dict[str, float | None]:
    """Return the row's percentiles, but those of columns that say nothing of risk."""
    named = row.components.items()
    return {name: score.percentile for name, score in named if name not in CONFOUNDERS}


def _rank(row: ScreenedRow, common: Mapping[str, int]) -> tuple[float, ...]:
    """Return what rows are sorted by; of two alike, the one with the rarer finding is first."""
    severity = _WORST.index(row.severity) if row.severity else -1
    scores = [value for value in _percentiles(row).values() if value is not None]
    rare = min((common.get(name, 0) for name in row.checks), default=0)
    # Many rows may be above all reference rows: then the first component's own value tells.
    value = next((score.value for score in row.components.values()), None) or 0.0
    return -_ORDER.index(row.action), -severity, -max(scores, default=0.0), -value, rare, row.row


def set_risk(file: ScreenFile) -> list[str]:
    """Return the set's own scores in words, then what they are worth; [] without any."""
    told: list[str] = []
    for name, score in file.scores.items():
        if name in CONFOUNDERS or not isinstance(score, dict):
            continue
        percentile, value = score.get("percentile"), score.get("value")
        if isinstance(percentile, int | float):
            told.append(f"{name} {percentile:.0f}")
        elif isinstance(value, int | float):
            told.append(f"{name} {value:+.3g}")
    if not told:
        return []
    said = "percentiles among draws of the reference; mdf in nats of the lead"
    return [f"{' · '.join(told)} ({said})", str(file.calibration or "")]


def suggested(file: ScreenFile) -> Iterator[str]:
    """Yield what to do next; `` `screen=FILE` `` stands for the screen.json that was written."""
    counts = file.counts["action"]
    told = [f"{name} {counts[name]:,}" for name in ("drop", "mask", "review") if counts[name]]
    if not file.sampled and counts["drop"] == sum(counts.values()):
        yield "drop every row: none is left to train on; look at them, or give other data"
        return
    if told and file.sampled:
        yield f"{', '.join(told)}: of a sample; a run takes the screen.json of all rows"
    elif told and file.unreadable:
        yield f"{', '.join(told)}: `clean=FILE` writes the rest; unreadable rows stop a run"
    elif counts["drop"] or counts["mask"]:
        yield f"{', '.join(told)}: tune with `screen=FILE` applies it"
    elif told:
        yield f"{told[0]}: look at them; tune with `screen=FILE` applies what you decide"
    elif _of_the_set(file):
        yield "no single row to take out; look at what is said of the whole set"
    else:
        yield "nothing to take out"
    yield "then tune with a defense, and gate with 150 harmful prompts or more"
