"""Do the paper's patterns A, B and C (arXiv 2410.04524) hold on this model? The figures are ours.

A: earlier layers are more sensitive than later ones. B: Q and K are more sensitive than other
types. C: modules that are robust alone can be sensitive together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.analysis.layer_trend import FEWEST_LAYERS, layer_trend
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.analysis.modules.robustness import ModuleScore, Robustness
from holdfast.analysis.settings import Score
from holdfast.evaluation.resampling import bootstrap_weights
from holdfast.evaluation.statistics import student

__all__ = ["GroupMean", "Pattern", "added", "depth", "group_means", "joint", "queries_and_keys"]

RESAMPLES = 2000
INTERACTING = 1.1
"""Joint damage of so many times the sum is called more than adding up; ours."""
Verdict = Literal["holds here", "does not hold here", "cannot be told"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pattern:
    """One of the paper's patterns, on this model."""

    name: str
    claim: str
    verdict: Verdict
    figure: str
    """The number that the verdict rests on, in words."""


@dataclass(frozen=True)
class GroupMean:
    """Mean score of a layer's or a type's modules with a 95 % bootstrap interval."""

    group: str
    mean: float
    low: float
    high: float
    modules: int


def group_means(found: Robustness, by: Literal["role", "layer"]) -> list[GroupMean]:
    """Return the mean score of each type or layer.

    The interval resamples modules and, of exact methods, draws of the noise (2000 times).
    """
    out: list[GroupMean] = []
    rng = np.random.default_rng(0)
    for group in found.roles if by == "role" else range(found.layers):
        rows = [m for m in found.modules if getattr(m.module, by) == group]
        table = np.array([_draws(m, found.score) for m in rows])  # [modules, draws]
        low, high = _two_way(table, rng)
        out.append(GroupMean(str(group), float(table.mean()), low, high, len(rows)))
    return out


def depth(found: Robustness) -> Pattern:
    """Pattern A by Spearman's correlation of layer and score, whole layers resampled."""
    claim = "earlier layers are more sensitive than later ones"
    layers = [m.module.layer for m in found.modules]
    scores = [m.mean(found.score) for m in found.modules]
    count = len(set(layers))
    if count < 2 or min(scores) == max(scores):
        return Pattern("A", claim, "cannot be told", "the scores do not vary over layers")
    if count < FEWEST_LAYERS:
        why = (
            f"the unit is the layer, and {count} layers fall or rise in order by chance in more "
            f"than 5 % of models; it takes {FEWEST_LAYERS}"
        )
        return Pattern("A", claim, "cannot be told", why)
    trend = layer_trend(layers, scores)
    figure = (
        f"rank correlation of layer and score {_signed(trend.value)} "
        f"[{_signed(trend.low)}, {_signed(trend.high)}] over {count} layers; below 0: the score "
        "falls with depth"
    )
    return Pattern("A", claim, _verdict(below=trend.high < 0, above=trend.low > 0), figure)


def queries_and_keys(found: Robustness) -> Pattern:
    r"""Pattern B by the ratio of the mean score of q and k to that of the other types.

    The ratio is taken within each layer, so that depth does not count; its geometric mean has a
    t interval over layers, on the logarithm.
    """
    claim = "Q and K are more sensitive than other types"
    table = found.table()
    ours = _by_layer(table, lambda role: role in ("q", "k"))
    others = _by_layer(table, lambda role: role not in ("q", "k"))
    layers = sorted(ours.keys() & others.keys())
    ratios = [ours[n] / others[n] for n in layers if others[n] > 0 and ours[n] > 0]
    if len(ratios) < max(2, len(layers)):
        return Pattern("B", claim, "cannot be told", "too few layers have both, or scores of 0")
    logs = student(np.log(ratios))
    low, value, high = (float(np.exp(log)) for log in (logs.low, logs.value, logs.high))
    figure = (
        f"Q and K score {value:.2f} times the other types of their layer [{low:.2g}, {high:.2g}]"
    )
    return Pattern("B", claim, _verdict(below=low > 1, above=high < 1), figure)


def joint(robust: RobustModules, alone: Mapping[tuple[int, str], float]) -> Pattern:
    """Pattern C by the search's rolled-back trials.

    It holds where S stays within the limit, a module alone does too, and both together do not.

    Args:
        robust: What the search found, with its trials.
        alone: Exact damage of each rolled-back module, (layer, role), by itself, in the score of
            the search.
    """
    claim = "modules that are robust alone can be sensitive together"
    limit = robust.tau * robust.whole
    refused = [at for at, trial in enumerate(robust.trace) if not trial.kept]
    if not refused or limit <= 0:
        return Pattern("C", claim, "cannot be told", "the search rolled nothing back")
    together = [at for at in refused if alone[_key(robust.trace[at].module)] <= limit]
    counted = f"{len(together)} of {len(refused)} modules that the search rolled back"
    if not together:
        figure = f"{counted} were within the limit {limit:.3g} alone"
        return Pattern("C", claim, "does not hold here", figure)
    at = max(together, key=lambda n: robust.trace[n].score)
    trial = robust.trace[at]
    before = next((t.score for t in reversed(robust.trace[:at]) if t.kept), 0.0)
    single = alone[_key(trial.module)]
    figure = (
        f"{counted} were within the limit {limit:.3g} alone; {trial.module.role} of layer "
        f"{trial.module.layer} does {single:.3g} alone, those kept so far {before:.3g}, "
        f"both together {trial.score:.3g}, "
        f"{_excess(trial.score, added(before, single, robust.score))}"
    )
    return Pattern("C", claim, "holds here", figure)


def _key(module: ModuleAt) -> tuple[int, str]:
    return module.layer, module.role


def _excess(together: float, sum_: float) -> str:
    if sum_ <= 0:
        return "and neither does anything alone"
    ratio = together / sum_
    extra = "more than" if ratio > INTERACTING else "no more than"
    return f"{ratio:.2f} times their sum: {extra} the two damages added up"


def added(first: float, second: float, score: Score) -> float:
    """Return the joint damage of two groups of modules that do not interact.

    Root mean squares of independent changes add in squares; drift, a square to first order, and
    lost accuracy add as they are.
    """
    return float(np.hypot(first, second)) if score == "logit" else first + second


def _draws(row: ModuleScore, score: Score) -> list[float]:
    if row.estimate is not None:
        return [row.estimate]
    return [float(getattr(d, score)) for d in row.damage]


def _two_way(table: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval of the mean of ``table`` [modules, draws], both axes resampled."""
    modules, draws = (bootstrap_weights(size, RESAMPLES, rng) for size in table.shape)
    low, high = np.quantile(np.einsum("rd,rd->r", modules @ table, draws), [0.025, 0.975])
    return float(low), float(high)


def _by_layer(
    table: Mapping[tuple[int, str], float], wanted: Callable[[str], bool]
) -> dict[int, float]:
    values: dict[int, list[float]] = {}
    for (layer, role), score in table.items():
        if wanted(role):
            values.setdefault(layer, []).append(score)
    return {layer: float(np.mean(found)) for layer, found in values.items()}


def _verdict(*, below: bool, above: bool) -> Verdict:
    if below:
        return "holds here"
    return "does not hold here" if above else "cannot be told"


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
