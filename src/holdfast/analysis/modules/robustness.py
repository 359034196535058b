"""How much each module matters to the security features: layer × (q k v o gate up down).

``noise`` and ``delta`` change one module at a time and measure (exact); ``gradient`` estimates
every module from one backward pass. The arithmetic is in ``perturbation`` and ``first_order``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from holdfast.analysis.modules.first_order import first_order
from holdfast.analysis.modules.perturbation import Change, Damage, Probed, noise, pooled
from holdfast.analysis.modules.robust_modules import ModuleAt
from holdfast.analysis.probing.probe import Quality
from holdfast.analysis.settings import Method, Score
from holdfast.errors import InputError, RunError
from holdfast.files.guarded.documents import json_of
from holdfast.files.whole import write_whole
from holdfast.ops.modules import ModuleRef
from holdfast.progress import Progress

__all__ = ["ModuleScore", "Robustness", "calibrated_rho", "exact"]

LADDER = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Relative norms that are tried; ours."""
SATURATED = 0.5
"""Drift of the most sensitive module above which noise is called too strong; ours."""


class ModuleScore(BaseModel):
    """One module's damage; of exact methods once for each seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: ModuleAt
    name: str
    estimate: float | None = Field(default=None, description="First-order logit change.")
    damage: list[Damage] = Field(default_factory=list[Damage])

    def mean(self, score: Score) -> float:
        """Return the damage pooled over the seeds, or the estimate of ``method="gradient"``.

        ``logit`` is pooled as a root mean square, the other scores as a mean.
        """
        return pooled(self.damage, score) if self.estimate is None else self.estimate


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
            from it and ends with the same figures. The file stays; remove it when all is done.
        key: What the figures depend on, as JSON values; a partial file of another key is refused.
        progress: Called with (``"modules"``, done, in all) before each module and after the last.

    Raises:
        InputError: ``partial`` is of another analysis, or no such file at all.
        RunError: ``partial`` cannot be written.
    """
    work = [(ref, seed) for seed in seeds for ref in probed.modules]
    done = _resumed(partial, key or {}) if partial else {}
    for number, (ref, seed) in enumerate(work):
        progress("modules", number, len(work))
        if (ref.name, seed) not in done:
            done[ref.name, seed] = found = probed.damage(change, [ref], seed)
            if partial:
                _append(partial, {"name": ref.name, "seed": seed, **found.model_dump()})
    progress("modules", len(work), len(work))
    return {ref: [done[ref.name, seed] for seed in seeds] for ref in probed.modules}


def _resumed(path: Path, key: dict[str, Any]) -> dict[tuple[str, int], Damage]:
    """Read what an earlier run of the same analysis did; begin the file where there is none."""
    head = json.dumps({"key": key}) + "\n"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole = text[: text.rfind("\n") + 1]  # A kill may have cut the last line.
        if not whole and not head.startswith(text):
            raise ValueError("its first line is not whole")
        found, *rows = (json_of(line) for line in (whole or head).splitlines())
        done = {(row.pop("name"), row.pop("seed")): Damage(**row) for row in rows}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no file of a half-done analysis ({error}); remove it, or choose another"
        ) from error
    if found != json.loads(head):
        raise InputError(
            f"{path} holds part of another analysis (other model, prompts or settings); remove it, "
            "or choose another folder"
        )
    if whole != text or not whole:  # Only now is the file known to be ours.
        write_whole(path, whole or head)
    return done


def _append(path: Path, row: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}; free space or choose another "
            "folder; what is done so far stays"
        ) from error


def calibrated_rho(probed: Probed, seed: int) -> float:
    """Return the largest ρ of the ladder at which the most sensitive modules do not saturate.

    The three modules that the first-order estimate puts first are changed one by one. Larger noise
    spreads the scores more; once the features point elsewhere it tells modules apart no more. The
    smallest of the ladder is returned where even that saturates.
    """
    estimate = first_order(probed, 1.0)
    first = sorted(estimate, key=lambda ref: (-estimate[ref], ref))[:3]
    found = LADDER[0]
    for rho in LADDER:
        change = noise(probed.modules, rho)
        try:
            drift = max(probed.damage(change, [ref], seed).drift for ref in first)
        except RunError:  # Beyond the numbers of the model's precision.
            break
        if drift > SATURATED:
            break
        found = rho
    return found
