"""What the tour shows: the figures of a step, and the summary of all."""

import json
from pathlib import Path
from typing import Any

SHOWN = {
    "hs": "harmful score",
    "over_refusal": "over-refusal",
    "fa": "task",
    "usefulness": "useful",
}


def figures_of(folder: Path, name: str) -> dict[str, Any]:
    """Return what a step measured: every share of its last arm by judge, and kappas.

    Args:
        folder: The tour's.
        name: The step's; what wrote no result has no figures.
    """
    if name == "inspected":
        return inspected(folder / "inspect-logs")
    path = folder / name / "result.json"
    if not path.is_file():
        return {}
    result = json.loads(path.read_text())
    run = result["arms"][-1]["runs"][0]
    shares = {run["judge"]: _shares(run["shares"])}
    for reading in run.get("readings", []):
        shares[reading["judge"]] = _shares(reading["shares"])
    found: dict[str, Any] = {"shares": shares}
    return found | {key: result[key] for key in ("agreement", "benchmarks") if result.get(key)}


def _shares(shares: dict[str, Any]) -> dict[str, Any]:
    return {key: shares[key] for key in SHOWN if key in shares}


def inspected(logs: Path) -> dict[str, Any]:
    """Return the shares that inspect-ai wrote into its newest log."""
    newest = max(logs.glob("*.json"), key=lambda path: path.stat().st_mtime)
    log = json.loads(newest.read_text())
    if log["status"] != "success":
        raise SystemExit(f"inspect-ai: {log['status']}: see {newest}")
    shares: dict[str, Any] = {}
    for score in log["results"]["scores"]:
        values = [metric["value"] for metric in score["metrics"].values()]
        keys = ("value", "low", "high")
        shares[score["name"]] = {
            **dict(zip(keys, values, strict=False)),
            "n": score["scored_samples"],
        }
    return {"shares": {"inspect-ai": _shares(shares)}}


def headline(figures: dict[str, Any]) -> str:
    """Return one line for each judge."""
    lines = [
        f"{judge}: " + ", ".join(f"{SHOWN[key]} {_share(share)}" for key, share in shares.items())
        for judge, shares in figures.get("shares", {}).items()
    ]
    return "\n".join(lines)


def _share(share: dict[str, Any]) -> str:
    return f"{100 * share['value']:.0f} % ({100 * share['low']:.0f}–{100 * share['high']:.0f})"


def disagreements(records: dict[str, dict[str, Any]]) -> list[str]:
    """Return where inspect-ai's figure is not ours; the two answer and judge alike."""
    if "inspected" not in records or "shares" not in records["inspected"]:
        return []
    ours = next(iter(records["evaluated"]["shares"].values()))["hs"]
    theirs = records["inspected"]["shares"]["inspect-ai"]["hs"]
    same = ours["n"] == theirs["n"] and abs(ours["value"] - theirs["value"]) < 1e-12
    return [] if same else [f"harmful score: holdfast {ours}, inspect-ai {theirs}"]
