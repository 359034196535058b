"""What the scores are worth on one base: a file that travels with it.

A score is called validated on a base only where the file says that it has cleared the bar there:
ρ ≥ .7 with HS over harmless data sets, above the best baseline with the difference's interval over
0, and a row test won in 4 of 5 seeds or more. Another base or chat template has percentiles alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from holdfast.analysis.rows.columns import NOT_VALIDATED
from holdfast.errors import InputError, NewerFileError
from holdfast.files.base_mark import BaseMark
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import refuse_newer, write_whole

__all__ = ["BAR", "FILE", "WON", "Calibration", "Evidence", "template_hash"]

FILE = "holdfast_calibration.json"
SCHEMA = 1
BAR = 0.7
"""Least rank correlation over harmless data sets."""
WON = 0.8
"""Least share of seeds in which dropping the top rows must beat dropping rows at random."""


@dataclass(frozen=True)
class Evidence:
    """What calibration found of one component on this base."""

    rho: tuple[float, float, float] | None = None
    """Spearman's ρ with HS over harmless sets, and its 95 % interval over sets."""
    sets: int = 0
    """How many harmless sets."""
    over_baseline: tuple[float, float, float] | None = None
    """By how much ρ is above that of the best baseline, with its interval."""
    baseline: str = ""
    """Which baseline that is."""
    row_test: tuple[int, int] | None = None
    """Seeds in which it won, of how many; None where it was not run."""
    scores: tuple[float, ...] = ()
    """Of the isotonic map: set scores in rising order (of mdf, by how much the lead falls) …"""
    harm: tuple[float, ...] = ()
    """… and the HS that goes with each."""

    @property
    def missed(self) -> tuple[str, ...]:
        """What of the bar is not cleared, in words; empty where all of it is."""
        found: list[str] = []
        if self.rho is None or self.rho[0] < BAR:
            found.append(f"ρ below {BAR:g}")
        if self.over_baseline is None or self.over_baseline[1] <= 0:
            found.append("not shown to beat the best baseline")
        if self.row_test is None:
            found.append("row test not run")
        elif self.row_test[0] < WON * self.row_test[1]:
            found.append("row test lost")
        return tuple(found)

    @property
    def validated(self) -> bool:
        """Whether the whole bar is cleared."""
        return not self.missed

    @property
    def label(self) -> str:
        """What may be said of the column, in words."""
        seen = "" if self.rho is None else _shown(self.rho, self.sets)
        if self.validated:
            return f"calibrated on this model: {seen}"
        return f"{NOT_VALIDATED} ({'; '.join(self.missed)}{'; ' if seen else ''}{seen})"


@dataclass(frozen=True)
class Calibration:
    """All that a calibration file holds."""

    base: BaseMark
    template: str
    """Hash of the chat template."""
    probes: str
    """Hash of the probe prompts and openings."""
    references: Mapping[str, str]
    """Reference set → SHA-256 of its rows."""
    layers: tuple[int, ...]
    t: float | None
    components: Mapping[str, Evidence]
    quantiles: Mapping[str, Mapping[str, tuple[float, ...]]] = field(default_factory=dict)
    """Component → reference set → quantiles of its scores, at 0, .01, … 1."""
    combined: bool = False
    """Whether the mean rank may be shown: it has to beat the best single component."""

    def differs(self, base: BaseMark, template: str) -> str:
        """Return why the file says nothing of this model, "" where it does."""
        difference = self.base.difference(base)
        if difference:
            return f"the calibration is of another base ({difference}): percentiles only"
        if template != self.template:
            return "the calibration is of another chat template: percentiles only"
        return ""

    def labels(self) -> dict[str, str]:
        """Return what may be said of each column."""
        return {name: one.label for name, one in self.components.items()}

    def save(self, target: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            RunError: It cannot be written.
        """
        said = asdict(self)
        write_whole(target, json.dumps({"schema": SCHEMA, "sha256": _digest(said), **said}) + "\n")

    @classmethod
    def load(cls, source: Path) -> "Calibration":
        """Read a calibration file, or the one in a folder.

        Raises:
            InputError: It is none, is damaged, or is of a newer holdfast.
        """
        path = source / FILE if source.is_dir() else source
        try:
            said = json_in(path)
            schema, digest = said.pop("schema"), said.pop("sha256")
            refuse_newer(path, schema, SCHEMA)
            if digest != _digest(said):
                raise ValueError("its content is not what was written")
            return cls(
                **(said | {
                    "base": BaseMark(**said["base"]),
                    "layers": tuple(said["layers"]),
                    "components": {n: _evidence(e) for n, e in said["components"].items()},
                })
            )  # fmt: skip
        except NewerFileError:
            raise
        except (OSError, LookupError, AttributeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: holds no calibration that can be read ({error}); expected the {FILE} "
                "that a calibration of this base wrote"
            ) from error


def template_hash(tokenizer: Any) -> str:
    """Return the SHA-256 of a tokenizer's chat template, 16 hexadecimal digits."""
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()[:16]


def _evidence(said: Mapping[str, Any]) -> Evidence:
    made: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    return Evidence(**made)


def _digest(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _shown(rho: tuple[float, float, float], sets: int) -> str:
    value, low, high = (f"{x:.2f}".replace("0.", ".", 1).replace("-", "−") for x in rho)
    return f"ρ {value} [{low}, {high}] over {sets} harmless sets"
