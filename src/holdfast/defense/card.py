"""What must be known of a method before it runs: its card, and what its settings are called."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from holdfast.ops.engines.capabilities import Capability

__all__ = ["Card", "ModelRole", "Reads", "Stage", "Variant"]


class Stage(StrEnum):
    """When a defense acts."""

    ALIGN = "align"
    TUNE = "tune"
    REPAIR = "repair"


Reads = Literal["parameters", "projections", "parts", "attentions", "layers"]
ModelRole = Literal["aligned", "unaligned"]
"""A model that the user's was made of: as aligned, before the user's tuning, or before that."""


@dataclass(frozen=True)
class Card:
    """What must be known of a method before it runs; the rest stands in its ``card.md``."""

    name: str
    """The name in lists, files and on the command line."""
    summary: str
    """One sentence for the table of defenses."""
    stage: Stage
    paper: str
    """Title and arXiv number; of what others have to beat, ``baseline`` or ``control`` first."""
    strength: str
    """The field whose value ``off`` makes the defense do nothing at all."""
    cost: str
    """Extra cost in words and multiples of a plain step."""
    off: float = 0.0
    """Value of the strength field at which the defense does nothing."""
    data: tuple[str, ...] = ()
    """Fields that take data sets, not numbers."""
    models: Mapping[str, ModelRole] | None = None
    """Fields that take a model's folder → which model; a bench that has it fills them in."""
    needs: frozenset[Capability] = frozenset()
    """What it needs at every setting; see ``Defense.needs``."""
    reads: Reads = "parameters"
    """What it reads of an architecture: trained tensors, or modules by role."""
    conflicts: Mapping[str, str] | None = None
    """Name of another defense → why the two exclude each other."""


@dataclass(frozen=True)
class Variant:
    """What a defense with these settings is called beyond its name, and what it is there for."""

    label: str = ""
    """Small letters, digits, ``_``, ``-`` and ``.``; it stands in brackets behind the name."""
    control: bool = False
    """It is there for comparison, and is no defense that can win."""
