"""The page of ``holdfast analyze``: self-contained, no scripts, nothing asked of the network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdfast.analysis.against_base import Comparison
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.modules.robustness import Robustness
from holdfast.analysis.patterns import Pattern, group_means
from holdfast.analysis.probing.probe import BLIND
from holdfast.files.whole import write_whole
from holdfast.report.environment import environment, picture
from holdfast.report.figures.analysis import means
from holdfast.results.provenance import DataSource, versions
from holdfast.results.words import DASH
from holdfast.training.learning_rates import runs

__all__ = ["AnalysisPage", "answer", "in_order", "render_analysis", "told", "write_analysis"]

ORDER = ("q", "q_a", "q_b", "k", "kv_a", "kv_b", "v", "z", "b", "a", "o", "gate", "up", "down")
UNITS = {"drift": "drift of the features", "logit": "change of the logit",
         "accuracy": "drop in accuracy"}  # fmt: skip
MEANINGS = {
    "drift": "1 − cos between a harmful prompt's security features before and after",
    "logit": "root mean square of the change of the probe's logit on harmful prompts",
    "accuracy": "drop of the share of harmful prompts that the probe calls harmful",
}
SETS = {"train": "training", "held_out": "held out", "out_of_domain": "out of domain"}
FATES = {
    "kept": "the fixed one still tells harmful from benign",
    "weakened": "the fixed one still tells harmful from benign, but less well",
    "moved": "the features have moved and are not lost",
    "lost": "the features are lost, as far as a linear probe sees",
    "cannot be told": "the fixed one was blind before, so nothing can be told",
}


@dataclass(frozen=True)
class AnalysisPage:
    """All that the page shows."""

    robustness: Robustness
    robust: RobustModules
    patterns: list[Pattern]
    comparison: Comparison | None = None
    warnings: list[str] = field(default_factory=list[str])
    data: list[DataSource] = field(default_factory=list[DataSource])
    config: dict[str, Any] = field(default_factory=dict[str, Any])


def write_analysis(page: AnalysisPage, path: Path) -> Path:
    """Write the page, whole or not at all, and return its path.

    Raises:
        RunError: The file cannot be written.
    """
    write_whole(path, render_analysis(page))
    return path


def render_analysis(page: AnalysisPage) -> str:
    """Return the page as text."""
    found, robust = page.robustness, page.robust
    unit, roles = UNITS[found.score], in_order(found.roles)
    by_type, by_depth = group_means(found, "role"), group_means(found, "layer")
    by_type.sort(key=lambda row: roles.index(row.group))
    pictures = {
        "types": picture(means(by_type, "types", "type", unit)),
        "layers": picture(means(by_depth, "depth", "layer", unit)),
    }
    template = environment(cell=_percent, short=_short).get_template("analysis.html.j2")
    return template.render(
        page=page, found=found, robust=robust, answer=answer(robust), sets=SETS, roles=roles,
        cells=_cells(found, robust), top=max(found.table().values()), pictures=pictures,
        means=[("type", by_type), ("layer", by_depth)], unit=unit, meaning=MEANINGS[found.score],
        joint_unit=UNITS[robust.score], joint_meaning=MEANINGS[robust.score],
        limit=robust.tau * robust.whole, versions=versions(), blind=BLIND,
        drifted=told(page.comparison) if page.comparison else "",
    )  # fmt: skip


def told(compared: Comparison) -> str:
    """Return what became of the features, with the three figures it rests on."""
    before, after, anew = (
        f"{q.balanced_accuracy:.2f}" for q in (compared.before, compared.after, compared.retrained)
    )
    return (
        f"Fine-tuning moved the security features of harmful prompts by {_short(compared.drift)} "
        f"(1 − cos). The base's fixed probe has a balanced accuracy of {before} before and "
        f"{after} after it, a retrained probe {anew}: {FATES[compared.fate]}."
    )


def answer(robust: RobustModules) -> str:
    """Return how many modules are robust and where, in one sentence."""
    total, count = robust.total, len(robust.modules)
    if not count:
        return (
            f"None of {total} modules is robust: changing any type's deepest one moves the "
            "security features beyond the limit."
        )
    verb = "module is" if count == 1 else "modules are"
    return f"{count} of {total} {verb} robust, by layer: {_where(robust)}."


def _where(robust: RobustModules) -> str:
    """Return the robust modules by type, runs of layers joined: ``q 1–3; v 2``."""
    parts: list[str] = []
    for role in in_order(robust.roles):
        layers = sorted(m.layer for m in robust.modules if m.role == role)
        told = runs(layers).replace(",", ", ").replace("-", DASH)
        if layers:
            parts.append(f"{role}\N{NO-BREAK SPACE}{told}")
    return "; ".join(parts)


def in_order(roles: Sequence[str]) -> list[str]:
    """Return the types as papers list them: attention first."""
    return sorted(roles, key=lambda role: (ORDER.index(role) if role in ORDER else 99, role))


def _cells(found: Robustness, robust: RobustModules) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the heatmap: shades on a logarithmic scale, because scores spread over decades."""
    scores = found.table()
    top = max(scores.values())
    bottom = min((score for score in scores.values() if score > 0), default=0.0)
    wide = 0 < bottom < top
    cells: dict[tuple[int, str], dict[str, Any]] = {}
    for row, (at, score) in zip(found.modules, scores.items(), strict=True):
        draws = [float(getattr(draw, found.score)) for draw in row.damage] or [score]
        share = math.log(score / bottom) / math.log(top / bottom) if wide and score > 0 else 0.0
        cells[at] = {
            "score": score, "percent": 100 * score / top if top > 0 else 0.0,
            "shade": round(100 * share), "robust": at in robust.pairs,
            "low": min(draws), "high": max(draws),
        }  # fmt: skip
    return cells


def _percent(value: float) -> str:
    """Return a percentage with as many digits as a narrow cell holds."""
    if value == 0 or value >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.05 else "<.1"


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
