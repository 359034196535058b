"""What the page shows of the attacks."""

from collections.abc import Collection
from typing import Any

from holdfast.evaluation.redteam.registry import IN_UNION
from holdfast.report.environment import picture
from holdfast.report.figures.attacks import attack_picture
from holdfast.report.sections.loop.attack_lines import beyond, figure, lines, not_run, title
from holdfast.report.shown import Shown
from holdfast.results.redteam.records import UNION, Counted, RedTeam
from holdfast.results.words import words_in

__all__ = ["section"]

FULL_HEAT = 0.5
"""Share of the harm color in a cell of 100%: text on it stays readable in both modes."""
MOST = 24
"""More kinds of harm than this are no map any more; ours."""
Cell = tuple[str, Counted | None]
"""The column's title, and what was counted."""


def section(shown: Shown) -> dict[str, Any] | None:
    """Return the attacks of a result, None where none was made."""
    team = shown.result.red_team
    if team is None or not team.attacks:
        return None
    rows = lines(team)
    drawn = attack_picture(rows, "attacks")
    return {
        "team": team, "rows": rows, "figure": figure, "picture": picture(drawn),
        "heat": _heat(team), "full": FULL_HEAT, "not_run": not_run(team), "beyond": beyond(team),
        "search": _search(team), "beside": _beside(team), "title": title,
        "words": words_in(shown.result.arms), "kinds": len(_kinds(team)), "most": MOST,
    }  # fmt: skip


def _heat(team: RedTeam) -> list[tuple[str, list[Cell]]]:
    """Return kinds of harm with what each attack came to, the headline first."""
    names = _kinds(team)
    columns = [(title(one.attack), one.categories) for one in team.attacks]
    head = [(team.union_name, team.union_categories)] if team.union_categories else []
    if len(names) > MOST:
        return []
    return [(n, [(head_, own.get(n)) for head_, own in [*head, *columns]]) for n in names]


def _kinds(team: RedTeam) -> list[str]:
    return list(dict.fromkeys(name for one in team.attacks for name in one.categories))


def _search(team: RedTeam) -> str:
    found = next((one.search for one in team.attacks if one.search), None)
    if found is None:
        return ""
    near = f", at a mean cosine of {found['nearness']:.2f}" if "nearness" in found else ""
    return (
        f"The search moved the mean lead from {found['lead_before']:.2f} to "
        f"{found['lead_after']:.2f} nats per token in {found['leads']:.0f} looks a question{near}. "
        "Its prompts were made for this very model: no interval, and in no headline."
    )


def _beside(team: RedTeam) -> list[tuple[str, list[tuple[str, Counted]]]]:
    return [
        (judge, [(_called(name, own, team), counted) for name, counted in own.items()])
        for judge, own in team.beside.items()
    ]


def _called(name: str, own: Collection[str], team: RedTeam) -> str:
    """Return an attack's title; any of them names those that ran, and that this judge read."""
    if name != UNION:
        return title(name)
    ran = [one for one in own if one in IN_UNION]
    return team.union_name if {*ran} >= {*team.union_of} else f"any of {', '.join(ran)}"
