"""What a cell of a bench is, and the key that names its folder."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_type_hints

from datasets import Dataset

from holdfast.bench.subject.organism import ORGANISM_SUBJECT, Subject
from holdfast.bench.subject.unchanged import content_of
from holdfast.evaluation import Item
from holdfast.inputs.specs import Spec
from holdfast.organism.scenarios import Budget
from holdfast.results.records import BEFORE, PLAIN, Attack

__all__ = ["Cell", "attack_on", "contents", "key_of"]

FORMAT = 2
"""Part of every cell's hash; raised when the same settings would give other results."""


@dataclass(frozen=True)
class Cell:
    """One run: everything that decides its result."""

    scenario: str
    defenses: tuple[Spec, ...]
    """Outermost first; none for plain fine-tuning."""
    attack: Attack | None
    """The user's run; None leaves the model untouched."""
    seed: int
    items_per_kind: int
    defender_rows: int
    benign_rows: int
    validation_rows: int
    split: str = "test"
    movement: bool = False
    """Also measure how far the run moves the model."""
    subject: Subject = ORGANISM_SUBJECT

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting as JSON, the defenses with all of their hyperparameters."""
        own = {key: value for key, value in vars(self).items() if key not in ("attack", "subject")}
        if not self.movement:
            del own["movement"]  # What is not measured makes no other cell.
        resolved = self.resolved(self.defenses) if self.attack else [BEFORE]
        made_by = self.subject.made_by()
        return {
            **own, **self.point.knobs, "defenses": resolved, "format": FORMAT, "made_by": made_by
        }  # fmt: skip

    def resolved(self, specs: Sequence[Spec]) -> list[dict[str, Any]]:
        """Return defenses with all of their hyperparameters, and the models that they are given.

        The aligned model is the subject's own. The unaligned one is told by its hash where a
        defense reads it, so that no other cell is named anew when there is another; and so is what
        lies in a folder or file that a spec names, since another may lie there later.
        """
        kept = self.subject.ancestor()
        own = {"unaligned": kept[1]} if kept else {}
        return [
            spec.resolved() | (own if _reads_unaligned(spec) else {}) | contents(spec)
            for spec in specs
        ]

    @property
    def point(self) -> Attack:
        """Its point in the grid: the attack; untouched, its budget without a harmful row."""
        return self.attack or attack_on(self.scenario, self.subject.budget(self.scenario))

    @property
    def budget(self) -> Budget:
        """The user's run: its scenario's, with the knobs of the cell's point."""
        decided = {"learning_rate", "steps", "rows", "batch"}
        knobs = {key: value for key, value in self.point.knobs.items() if key in decided}
        return replace(self.subject.budget(self.scenario), **knobs)

    @property
    def user_rows(self) -> Dataset:
        """The user's rows."""
        return self.subject.user_rows(self.scenario, self.point.rows, self.point.p, self.seed)

    @property
    def defender(self) -> dict[str, Any]:
        """The defender's data sets by the name of the field that takes them."""
        return self.subject.defender(vars(self), self.scenario, self.seed)

    @property
    def questions(self) -> list[Item]:
        """What measures the run."""
        return self.subject.questions(self.split, self.items_per_kind, self.scenario)

    @property
    def key(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the settings; the folder's name."""
        return key_of(self.settings)

    @property
    def label(self) -> str:
        """The cell in one line."""
        at = self.point
        knobs = f"p={at.p:g} lr={at.learning_rate:g} steps={at.steps} rows={at.rows}"
        knobs += f" batch={at.batch}" if at.batch else ""
        return f"{self.scenario} {knobs} {self.specs or PLAIN} seed={self.seed}"

    @property
    def specs(self) -> str:
        """The defenses as the recipe gives them; empty for plain fine-tuning, or ``before``."""
        return " + ".join(map(str, self.defenses)) if self.attack else BEFORE


def _reads_unaligned(spec: Spec) -> bool:
    """Tell whether the bench gives the defense the unaligned model, and it reads it."""
    taken = (spec.card.models or {}).items()
    given = any(role == "unaligned" and key not in spec.options for key, role in taken)
    return given and not spec.bare.is_off


def key_of(settings: Mapping[str, Any]) -> str:
    """Return the key of a cell with these settings."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def contents(spec: Spec) -> dict[str, str]:
    """Return the hash of each folder or file that the spec names; a plain word names none."""
    told = {key: value for key, value in spec.options.items() if isinstance(value, str | Path)}
    hints = get_type_hints(spec.cls) if told else {}
    return {
        f"{key}_sha256": content_of(Path(value))
        for key, value in told.items()
        if hints[key] is not str and Path(value).exists()
    }


class _Knobs(TypedDict, total=False):
    """What an attack leaves open or says."""

    learning_rate: float | None
    steps: int | None
    epochs: float | None
    rows: int | None
    batch: int | None


def attack_on(scenario: str, budget: Budget, p: float = 0.0, **knobs: Unpack[_Knobs]) -> Attack:
    """Return the attack with these knobs; what is left open is the budget's.

    ``epochs`` are told in steps, and hold where ``steps`` are open: steps per epoch are
    ceil(rows / batch). Where both are open, a run sees as many rows as the budget's, so that with
    twice the ``batch`` it has half the steps.
    """
    rows = knobs.get("rows") or budget.rows
    batch = knobs.get("batch") or budget.batch
    an_epoch, epochs = math.ceil(rows / batch), knobs.get("epochs")
    wanted = budget.steps * budget.batch / batch if epochs is None else epochs * an_epoch
    steps = knobs.get("steps") or max(1, round(wanted))
    return Attack(
        scenario=scenario,
        p=p,
        learning_rate=knobs.get("learning_rate") or budget.learning_rate,
        steps=steps,
        epochs=steps / an_epoch,
        rows=rows,
        batch=None if batch == budget.batch else batch,
    )
