"""Where a study of the chat model lies, and what tuning on a set does to its refusals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from holdfast.bench.cell.runs import examined, tune
from holdfast.bench.subject.files import FileSubject, Training
from measurements.data_risk.keeping import kept
from measurements.data_risk.real_model.sets import Pairs, parties, rows_of
from measurements.data_risk.sets import RiskSet

__all__ = ["ASKED", "TRAINING", "Work"]

TRAINING = Training(
    learning_rate=5e-4, steps=28, batch=8, lora_rank=8, dtype="bfloat16", max_new_tokens=32
)
"""One budget for all sets, some four CPU minutes; fixed before any score was computed, on one set
alone: of twice as many steps on 200 rows of SST-2 the harmful score is .80 already."""
ASKED = 100
"""Harmful test questions a tune."""


@dataclass(frozen=True)
class Work:
    """Where a study lies, and everything that its tunes and scorings share."""

    real: Path
    data: Path
    model: Path
    out: Path

    @cached_property
    def own(self) -> dict[str, Pairs]:
        """The rows of every party."""
        return parties(self.real, self.data)

    @cached_property
    def subject(self) -> FileSubject:
        """The chat model with its test questions."""
        files = {"test_harmful": str(self.real / "rows" / "test_harmful_both.jsonl")}
        return FileSubject(str(self.model), files, TRAINING, {})

    def before(self) -> dict[str, Any]:
        """Return the harmful score of the model as it is."""
        return kept(self.out / "before.json", lambda: self._asked(*self.subject.load()))

    def tuned(self, one: RiskSet, seed: int) -> dict[str, Any]:
        """Return what plain tuning on the set does."""
        return kept(self.tune_file(one, seed), lambda: self.tuned_on(one, seed))

    def tuned_on(self, one: RiskSet, seed: int, rows: Sequence[int] | None = None) -> Any:
        """Tune on the set, or on some of its rows, and ask."""
        given = rows_of(one, seed, self.own)
        given = given if rows is None else given.select(rows)
        tuned = tune(given, (), seed, TRAINING, subject=self.subject)
        asked = self._asked(tuned.model, tuned.tokenizer)
        return asked | {"seed": seed, "rows": len(given), "cpu_seconds": tuned.cost.cpu_seconds}

    def tune_file(self, one: RiskSet, seed: int) -> Path:
        """Where the tune of a set is kept."""
        return self.out / "sets" / f"{one.name}-s{seed}.json"

    def _asked(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        found = examined(model, tokenizer, self.subject.questions("test", ASKED, ""), self.subject)
        shares = {str(name): share.value for name, share in found.shares.items()}
        return {**shares, "hits": {"hs": list(map(float, found.hits("hs").values()))}}
