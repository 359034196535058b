"""A comparison of two results as tables for a terminal of 80 columns, one for each attack."""

from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from holdfast.comparisons.two_results import NOTHING, SEEDS, Comparison, Match
from holdfast.report.terminal import cell, plain_table
from holdfast.results.words import DASH, shown

__all__ = ["render_comparison"]

HEADS = {"hs": "harmful score", "over_refusal": "over-refusal", "fa": "task accuracy"}
SHOWN = 12
"""More arms than this of one side are counted; ours."""


def render_comparison(found: Comparison) -> Group:
    """Return the tables, what only one side has, and the warnings."""
    by_place: dict[str, list[Match]] = {}
    for match in found.matches:
        by_place.setdefault(match.where, []).append(match)
    tables = [
        plain_table(place, ("", "", "A", "B", "B minus A, points"), _rows(matches))
        for place, matches in by_place.items()
        if any(match.gaps for match in matches)
    ]
    return Group(*tables, _caption(found))


def _rows(matches: list[Match]) -> Iterator[tuple[str | Text, ...]]:
    """Yield one attack's arms, a row for each figure."""
    for match in matches:
        name = match.name + (" (control)" if match.control else "")
        for gap in match.gaps:
            # A star marks what only seeds pair.
            difference = shown(gap.difference, "tenths") + (" *" if gap.paired_by == SEEDS else "")
            yield name, HEADS[gap.figure], cell(gap.a, " "), cell(gap.b, " "), Text(difference)
            name = ""


def _caption(found: Comparison) -> Text:
    """Return what the figures are, who is alone, and the warnings."""
    gaps = [gap for match in found.matches for gap in match.gaps]
    told = [gap.difference for gap in gaps if gap.difference is not None]
    away = sum(not each.low <= 0 <= each.high for each in told)
    lines = [f"A: {found.a}", f"B: {found.b}", "Means over seeds with 95 % intervals."]
    if told:
        lines.append(
            f"{away} of {len(told)} differences have intervals without 0; of equal results about "
            f"{0.05 * len(told):.1f} would."
        )
    if any(gap.paired_by == SEEDS for gap in gaps):
        lines.append("* paired by seed alone (no answers kept): says nothing of other prompts.")
    if any(gap.paired_by == NOTHING for gap in gaps):
        lines.append(f"{DASH} cannot be paired: read the two intervals side by side.")
    lines += _alone("only in A", found.only_a) + _alone("only in B", found.only_b)
    lines += _alone("other settings, not compared", found.other_settings)
    return Text("\n".join([*lines, *(f"! {warning}" for warning in found.warnings)]), style="dim")


def _alone(what: str, names: list[str]) -> list[str]:
    more = [f"  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    head = [f"{what}: {len(names)}"] if names else []
    return [*head, *(f"  {name}" for name in names[:SHOWN]), *more]
