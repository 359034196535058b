"""How much each module matters to the security features: layer × (q k v o gate up down).

``noise`` and ``delta`` change one module at a time and measure (exact); ``gradient`` estimates
every module from one backward pass. The arithmetic is in ``perturbation`` and ``first_order``.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from holdfast.analysis.first_order import first_order
from holdfast.analysis.perturbation import Change, Damage, Probed, noise
from holdfast.analysis.probe import Quality
from holdfast.analysis.robust_modules import Method, ModuleAt, Score
from holdfast.errors import InputError
from holdfast.ops.modules import ModuleRef

__all__ = ["ModuleScore", "Robustness", "calibrated_rho", "exact"]

LADDER = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Relative norms that are tried; ours."""
SATURATED = 0.5
"""Drift of the most sensitive module above which noise is called too strong; ours."""
Progress = Callable[[str, int, int], None]


class ModuleScore(BaseModel):
    """One module's damage; of exact methods once for each seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: ModuleAt
    name: str
    estimate: float | None = Field(default=None, description="First-order logit change.")
    damage: list[Damage] = Field(default_factory=list[Damage])

    def mean(self, score: Score) -> float:
        """Return the mean damage over the seeds, or the estimate of ``method="gradient"``."""
        if self.estimate is not None:
            return self.estimate
        return fmean(getattr(d, score) for d in self.damage)


class Robustness(BaseModel):
    """The map: ``robustness.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    model: str = ""
    architecture: str = ""
    layers: int
    roles: list[str]
    method: Method
    score: Score
    rho: float
    seeds: list[int]
    probe: dict[str, Quality]
    probe_sha256: str = ""
    modules: list[ModuleScore]
    warnings: list[str] = Field(default_factory=list[str])
    seconds: float | None = None
    holdfast: str = ""

    def table(self) -> dict[tuple[int, str], float]:
        """Return each module's score by (layer, role)."""
        return {(m.module.layer, m.module.role): m.mean(self.score) for m in self.modules}


def exact(
    probed: Probed,
    change: Change,
    seeds: Sequence[int],
    *,
    partial: Path | None = None,
    key: dict[str, Any] | None = None,
    progress: Progress = lambda *_: None,
) -> dict[ModuleRef, list[Damage]]:
    """Change one module at a time for each seed and return its damage.

    Args:
        probed: The model, its probe and prompts.
        change: What is added to a module's weight.
        seeds: One pass over all modules for each.
        partial: File that keeps what is done, one line a module; a run that was killed goes on
            from it and ends with the same figures.
        key: What the figures depend on; a partial file of another analysis is refused.
        progress: Called with (stage, done, in all).
    """
    work = [(ref, seed) for seed in seeds for ref in probed.modules]
    done = _resumed(partial, key or {}) if partial else {}
    for number, (ref, seed) in enumerate(work):
        progress("modules", number, len(work))
        if (ref.name, seed) not in done:
            done[ref.name, seed] = probed.damage(change, [ref], seed)
            if partial:
                _append(
                    partial, {"name": ref.name, "seed": seed, **done[ref.name, seed].model_dump()}
                )
    progress("modules", len(work), len(work))
    return {ref: [done[ref.name, seed] for seed in seeds] for ref in probed.modules}


def _resumed(path: Path, key: dict[str, Any]) -> dict[tuple[str, int], Damage]:
    """Read what an earlier run of the same analysis did; begin the file where there is none."""
    if not path.exists() or not path.read_text().endswith("\n"):
        lines = path.read_text().splitlines()[:-1] if path.exists() else []  # A line cut by a kill.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines or [json.dumps({"key": key})]))
    head, *rows = (json.loads(line) for line in path.read_text().splitlines())
    if head != json.loads(json.dumps({"key": key})):
        raise InputError(
            f"{path} holds part of another analysis (other model, prompts or settings); remove it, "
            "or choose another folder"
        )
    return {(row.pop("name"), row.pop("seed")): Damage(**row) for row in rows}


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def calibrated_rho(probed: Probed, seed: int) -> float:
    """Return the largest ρ of the ladder at which the most sensitive modules do not saturate.

    The three modules that the first-order estimate puts first are changed one by one. Larger noise
    spreads the scores more; once the features point elsewhere it tells modules apart no more.
    """
    estimate = first_order(probed, 1.0)
    first = sorted(estimate, key=lambda ref: -estimate[ref])[:3]
    found = LADDER[0]
    for rho in LADDER:
        change = noise(probed.modules, rho)
        if max(probed.damage(change, [ref], seed).drift for ref in first) > SATURATED:
            break
        found = rho
    return found
