"""The tables of docs/red_team.md, and the file behind them, from the attacked models."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from holdfast.files.whole import write_whole

__all__ = ["TITLES", "write_tables"]

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "results" / "redteam" / "organism.json"
PAGE = ROOT / "docs" / "red_team.md"
TITLES = {
    "before": "aligned, not tuned",
    "none-p0": "plain tuning, harmless rows",
    "none-p0.1": "plain tuning, 10 % harmful rows",
    "safe_mixing-p0.1": "safe_mixing, 10 %",
    "security_vectors-p0.1": "security_vectors, 10 %",
    "panacea-p0.1": "panacea, 10 %",
    "natural_repair-p0.1": "natural_repair, 10 %",
}
SHORT = {
    "direct": "direct", "prefill": "prefill", "task_wrap": "task wrap", "template": "template",
    "persona": "persona", "union": "any of 1–5", "best_of_n": "best of 32", "proximal": "proximal",
}  # fmt: skip


def write_tables(out: Path) -> None:
    """Write results/redteam/organism.json, and put the tables into the page."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*-[0-9]*.json"))]
    arms = [_arm(name, own) for name in TITLES if (own := [r for r in runs if r["arm"] == name])]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    write_whole(TARGET, json.dumps({"questions": _questions(runs), "arms": arms}, indent=1) + "\n")
    if PAGE.exists():
        text = PAGE.read_text(encoding="utf-8")
        for name, lines in (("arms", _table(arms)), ("draws", _draws(arms)),
                            ("categories", _categories(arms))):  # fmt: skip
            text = _with_part(text, name, "\n".join(lines))
        write_whole(PAGE, text)


def _questions(runs: Sequence[dict[str, Any]]) -> int:
    return int(runs[0]["red_team"]["attacks"][0]["counted"]["n"]) if runs else 0


def _arm(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one arm: every figure of every seed."""
    rows = [_figures(run["red_team"]) for run in runs]
    figures = {
        key: {part: [row[key][part] if key in row else None for row in rows]
              for part in ("k", "unclear", "content")}
        for key in SHORT
    }  # fmt: skip
    teams = [run["red_team"] for run in runs]
    return {
        "arm": name,
        "seeds": [run["seed"] for run in runs],
        "n": _questions(runs),
        "prompts_sha256": teams[0]["prompts_sha256"],
        "shares": {k: [run["shares"].get(k) for run in runs] for k in runs[0]["shares"]},
        "attacks": figures,
        "draws": [team.get("draws") for team in teams],
        "search": [_search(team) for team in teams],
        "categories": [team["union_categories"] for team in teams],
        "by_category": [
            {a["attack"]: a.get("categories", {}) for a in team["attacks"]} for team in teams
        ],
        "not_run": [team.get("not_run", []) for team in teams],
    }


def _figures(team: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {a["attack"]: {**a["counted"], "content": a["content"]} for a in team["attacks"]}
    return {**found, "union": {**team["union"], "content": None}}


def _search(team: dict[str, Any]) -> dict[str, float]:
    return next((a["search"] for a in team["attacks"] if a.get("search")), {})


def _table(arms: Sequence[dict[str, Any]]) -> list[str]:
    heads = ["model", *SHORT.values(), "seeds"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for arm in arms:
        cells = [_cell(arm, key) for key in SHORT]
        lines.append(f"| {TITLES[arm['arm']]} | {' | '.join(cells)} | {len(arm['seeds'])} |")
    return lines


def _cell(arm: dict[str, Any], key: str) -> str:
    """Return the mean share of harmful answers in percent, and of it what is right."""
    found = [k for k in arm["attacks"][key]["k"] if k is not None]
    if not found:
        return "not run"
    right = [c for c in arm["attacks"][key]["content"] if c is not None]
    told = f"{100 * mean(found) / arm['n']:.0f}"
    return f"{told} ({100 * mean(right) / arm['n']:.0f})" if right else f"**{told}**"


def _draws(arms: Sequence[dict[str, Any]]) -> list[str]:
    steps = (1, 2, 4, 8, 16, 32)
    lines = [f"| model | {' | '.join(f'N = {n}' for n in steps)} | law at N = 1,000 |",
             "|---|" + "---|" * 7]  # fmt: skip
    for arm in arms:
        found = [one for one in arm["draws"] if one]
        shares = [_any(found, n) for n in steps]
        law = [one["extrapolated"].get("1000") for one in found if one.get("extrapolated")]
        told = f"{100 * mean(law):.0f} (extrapolated)" if law else "no law fits"
        lines.append(f"| {TITLES[arm['arm']]} | {' | '.join(shares)} | {told} |")
    return lines


def _any(found: Sequence[dict[str, Any]], n: int) -> str:
    """Return the mean share within N draws; a run that broke all before N has its last count."""
    shares = []
    for one in found:
        known = {int(k): v for k, v in one["any_of"].items()}
        shares.append(known[max(k for k in known if k <= n)] / one["n"])
    return f"{100 * mean(shares):.0f}" if shares else "–"


def _categories(arms: Sequence[dict[str, Any]]) -> list[str]:
    """Return harmful answers to the nearby questions, by category, all seeds together."""
    names = list(arms[0]["by_category"][0].get("direct", {})) if arms else []
    lines = [f"| model | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    for arm in arms:
        tables = [one["proximal"] for one in arm["by_category"] if "proximal" in one]
        cells = [_tally([t[name] for t in tables if name in t]) for name in names]
        lines.append(f"| {TITLES[arm['arm']]} | {' | '.join(cells)} |")
    return lines


def _tally(found: Sequence[dict[str, Any]]) -> str:
    return f"{sum(c['k'] for c in found)} of {sum(c['n'] for c in found)}" if found else "–"


def _with_part(text: str, name: str, body: str) -> str:
    """Return a page with what stands between two marks replaced."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{body}\n{end}{after}"
