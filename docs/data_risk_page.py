"""The tables of docs/data_risk.md, of results/data_risk: the organism's and a chat model's."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from real_tables import table

__all__ = ["data_risk_parts", "real_parts"]

TITLES = {
    "push": "push", "gap": "gap", "anchor": "anchor", "mdf": "mdf", "mean rank": "mean rank",
    "push above": "push, share above 99 %", "gap above": "gap, share above 99 %",
    "anchor above": "anchor, share above 99 %",
    "guard share": "*guard's share of rows*", "rows": "*number of rows*", "loss": "*mean loss*",
    "norm": "*norm (Self-Inf-N)*", "length": "*mean answer length*", "random": "*random*",
}  # fmt: skip
"""Scores, then baselines in italics."""
FOUND = ("push", "gap", "anchor", "norm", "loss", "guard")


def data_risk_parts(path: Path) -> dict[str, str]:
    """Return the generated parts of the page by the names of their markers."""
    found = json.loads(path.read_text())
    return {
        "verdict": _verdict(found),
        "ordering": "\n\n".join(_ordering(found, name) for name in ("harmless", "all")),
        "row_test": "\n\n".join(_tested(name, one) for name, one in found["row_test"].items()),
        "planted": _planted(found["planted"]),
        "evasive": _evasive(found["evasive"]),
    }


def real_parts(path: Path) -> dict[str, str]:
    """Return the parts about the chat model, of results/data_risk/real.json."""
    found = json.loads(path.read_text())
    tested = "\n\n".join(_tested(name, one) for name, one in found["row_test"].items())
    return {
        "real verdict": f"{_verdict(found, 'this chat model')}\n\n{_harm(found)}",
        "real ordering": "\n\n".join(_ordering(found, name) for name in found["strata"])
        or "The order of the sets is told when all have run.",
        "real row_test": tested or "Not run yet.",
        "real planted": _planted(found["planted"]) if found["planted"] else "Not run yet.",
    }


def _harm(found: dict[str, Any]) -> str:
    """Return what tuning on each set did."""
    rows = [
        [f"`{name}`", "" if "-p0-" in name else "yes", _listed(list(by_seed.values()))]
        for name, by_seed in sorted(found["harm"].items(), key=lambda one: max(one[1].values()))
    ]
    head = f"Before tuning the model's HS is {found['before']:.2f}; after tuning on each set:"
    return f"{head}\n\n{table(['set', 'harmful rows', 'HS by seed'], rows)}"


def _verdict(found: dict[str, Any], base: str = "the organism") -> str:
    setting = found["setting"]
    rows = [[name, label] for name, label in found["verdicts"].items()]
    seeds = f"{len(setting['seeds'])} seed{'s' * (len(setting['seeds']) > 1)}"
    ran = (
        f"{setting['sets']} of {setting['planned']} sets have run and are scored, "
        f"{setting['tunes']} tunes over {seeds}; HS is over {setting['items']} test questions a "
        "tune."
    )
    if not rows:
        return f"{ran} Of a column nothing is said before all have run."
    return f"{table(['column', f'what may be said of it on {base}'], rows)}\n\n{ran}"


def _ordering(found: dict[str, Any], name: str) -> str:
    stratum = found["strata"][name]
    title = "Sets without a harmful row" if name == "harmless" else "All sets"
    head = (
        f"**{title}**: {stratum['sets']}, of which {stratum['harmed']} end above HS "
        f"{found['setting']['harmed_above']:.0%}. Best baseline: {stratum['baseline']}."
    )
    rows = [
        [
            TITLES[key], _ends(one["rho"]), _ends(one["partial"]), _ends(one["auroc"]),
            _span(one["left_out"]), _ends(one.get("over_baseline")),
        ]
        for key in TITLES if (one := stratum["scores"].get(key)) is not None
    ]  # fmt: skip
    columns = ["set score", "ρ", "partial ρ", "AUROC", "ρ without a scenario", "over best baseline"]
    return f"{head}\n\n{table(columns, rows)}"


def _tested(name: str, one: dict[str, Any]) -> str:
    figures = [f for f in ("hs", "fa") if all(f in got for got in one["arms"].values())]
    left = one.get("harmful_left", {})
    rows = [
        [arm, *([_least_most(left[arm])] if left else []),
         *(_mean(got[figure]) for figure in figures), _listed(got["hs"])]
        for arm, got in one["arms"].items()
    ]  # fmt: skip
    won = ", ".join(f"{who} in {a} of {b}" for who, (a, b) in one["won"].items())
    titles = ["tuned on", *(["harmful rows left"] if left else [])]
    titles += [*map(str.upper, figures), "HS by seed"]
    head = f"**`{name}`**. Less harm than after dropping as many rows at random: {won or '–'}."
    return f"{head}\n\n{table(titles, rows)}"


def _least_most(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def _planted(found: Sequence[dict[str, Any]]) -> str:
    rows = [
        [f"`{one['set']}`, seed {one['seed']}", str(one["harmful"]),
         *(_found(one[name]) for name in FOUND)]
        for one in found
    ]  # fmt: skip
    return table(["set", "harmful rows", *FOUND], rows)


def _evasive(found: dict[str, Any]) -> str:
    if not found:
        return "Not run."
    rows = [
        [name, *(_number(one[c]) for c in FOUND), f"{one['hs']:.2f}"] for name, one in found.items()
    ]
    return table(["harmful rows", *FOUND, "HS after tuning"], rows)


def _found(one: dict[str, Any]) -> str:
    ranks = one["ranks"]
    worst = f"{ranks[-1]:g}"
    return f"{_number(one['auroc'])} (worst rank {worst})"


def _ends(ends: Sequence[float] | None) -> str:
    if ends is None:
        return "–"
    value, low, high = (_number(x) for x in ends)
    return f"{value} [{low}, {high}]"


def _span(ends: Sequence[float] | None) -> str:
    return "–" if ends is None else f"{_number(ends[0])} to {_number(ends[1])}"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.2f}"


def _listed(values: Sequence[float]) -> str:
    return " ".join(_number(value) for value in values)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    told = f"{value:.2f}".replace("-", "−")
    return told.replace("0.", ".", 1) if abs(value) < 1 else told
