"""What a cell of a bench is, and the key that names its folder."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from holdfast.bench.subject.organism import ORGANISM_SUBJECT, Subject
from holdfast.defenses.installed import code_of
from holdfast.evaluation import Item
from holdfast.inputs.specs import parse_spec
from holdfast.organism.scenarios import Budget
from holdfast.results.records import BEFORE, PLAIN

__all__ = ["Cell", "resolved"]

FORMAT = 2
"""Part of every cell's hash; raised when the same settings would give other results."""


@dataclass(frozen=True)
class Cell:
    """One run: everything that decides its result."""

    scenario: str
    defenses: tuple[str, ...]
    """Specs as in the recipe, outermost first; empty for plain fine-tuning, or ``before``."""
    p: float
    learning_rate: float
    steps: int
    rows: int
    seed: int
    items_per_kind: int
    defender_rows: int
    benign_rows: int
    validation_rows: int
    split: str = "test"
    subject: Subject = ORGANISM_SUBJECT

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting as JSON, the defenses with all of their hyperparameters."""
        own = {key: value for key, value in vars(self).items() if key != "subject"}
        made_by = self.subject.made_by()
        return {**own, "defenses": resolved(self.defenses), "format": FORMAT, "made_by": made_by}

    @property
    def budget(self) -> Budget:
        """The user's run as its scenario has it, before the cell's own knobs."""
        return self.subject.budget(self.scenario)

    @property
    def user_rows(self) -> Dataset:
        """The user's rows."""
        return self.subject.user_rows(self.scenario, self.rows, self.p, self.seed)

    @property
    def defender(self) -> dict[str, Any]:
        """The defender's data sets by the name of the field that takes them."""
        return self.subject.defender(vars(self), self.scenario, self.seed)

    @property
    def questions(self) -> list[Item]:
        """What measures the run."""
        return self.subject.questions(self.split, self.items_per_kind, self.scenario)

    @property
    def epochs(self) -> float:
        """Passes over the user's rows that the steps make."""
        return self.steps / math.ceil(self.rows / self.budget.batch)

    @property
    def key(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the settings; the folder's name."""
        text = json.dumps(self.settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """The cell in one line."""
        knobs = f"p={self.p:g} lr={self.learning_rate:g} steps={self.steps} rows={self.rows}"
        return f"{self.scenario} {knobs} {' + '.join(self.defenses) or PLAIN} seed={self.seed}"


def resolved(specs: Sequence[str]) -> list[Any]:
    """Return the specs with every hyperparameter, so that a changed default is another cell."""
    if tuple(specs) == (BEFORE,):
        return [BEFORE]
    parsed = [parse_spec(spec) for spec in specs]
    return [
        {"name": cls.card.name, **cls(**options).config(), **code_of(cls)}
        for cls, options in parsed
    ]
