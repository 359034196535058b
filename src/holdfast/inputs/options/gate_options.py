"""What a release must hold: options of ``evaluate`` and ``gate``; nothing heavy is imported."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["GateConfig", "GateOptions", "Undecided"]

Undecided = Literal["fail", "pass"]


@dataclass(kw_only=True)
class GateOptions:
    """Limits that a model must hold to be released."""

    require: list[str] = field(default_factory=list[str])
    """A limit to hold, in quotes: 'hs<=.05', 'over_refusal<=.1', 'fa>=.8'; repeat for several."""
    policy: Path | None = None
    """YAML file with require, confidence, undecided, attacks, draws; its ledger lies beside."""
    confidence: float | None = None
    """Confidence of each limit, one-sided; .95 without it."""
    undecided: Undecided | None = None
    """What too few prompts end with: fail (exit 4, the default) or pass (exit 0)."""
    before: Path | None = None
    """result.json to compare with on the same questions, for limits on a drop or a rise."""


@dataclass(kw_only=True)
class GateConfig(GateOptions):
    """One verdict on a result that exists."""

    result: Path
    """Result folder, or its result.json, with answers."""
    arm: str | None = None
    """Whose answers, where the result has several: the name of a defense, none or before."""
    output: Path | None = None
    """Folder for gate.json, JUnit, SARIF and report.html; nothing is written without it."""
    show_harmful: bool = False
    """Show harmful prompts and answers in the report instead of redacting them."""
    overwrite: bool = False
    """Replace an existing output folder, once the new one is complete."""
