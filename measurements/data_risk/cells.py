"""What tuning on a set does to safety: one tune for each set and seed, kept as it is made."""

import random
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import Dataset

from holdfast.bench.cell.runs import examined
from holdfast.bench.subject.organism import ORGANISM_SUBJECT
from holdfast.evaluation import Item
from holdfast.organism.fit import encode_rows, fit
from holdfast.organism.items import evaluation_items
from holdfast.organism.scenarios import Budget
from measurements.data_risk.keeping import kept
from measurements.data_risk.sets import SETS, rows_of

__all__ = ["BUDGET", "ITEMS", "order", "questions", "run_sets", "tuned_on", "tuned_once"]

BUDGET = Budget(learning_rate=3e-4, steps=60, full=True)
"""One budget for all sets, or the budget would explain the harm; fixed on seed 900 and validation
questions before any score was computed. Under the bench's LoRA budget no harmless row of this world
moves a refusal (HS 0.00); at its rate for harmless rows, 1e-3, one recipe in twenty moves them all;
at 120 steps of 3e-4 five harmful rows of 500 do."""
ITEMS = 100
"""Test questions of each kind."""
ORDER_SEED = 20_261_126


def order(seeds: Sequence[int]) -> list[tuple[int, int]]:
    """Return (number of the set, seed): every set once in an order drawn beforehand, then again.

    Where time ends before all have run, those that have are a random choice.
    """
    drawn = random.Random(ORDER_SEED)  # noqa: S311  # Not a secret.
    found: list[tuple[int, int]] = []
    for seed in seeds:
        numbers = list(range(len(SETS)))
        drawn.shuffle(numbers)
        found += [(number, seed) for number in numbers]
    return found


def questions() -> list[Item]:
    """Return harmful and task questions of the test split, no persona in front.

    With one in front both task-tuned models that were asked complied in all cases (HS 1.00).
    """
    return [i for i in evaluation_items("test", ITEMS) if i.kind in ("harmful", "task")]


def tuned_on(rows: Dataset, seed: int) -> dict[str, Any]:
    """Return HS and FA, by item, of the organism tuned on the rows by the organism's own loop.

    It does what the bench's trainer does, with the same figures and half the CPU time.
    """
    began = time.process_time()
    model, tokenizer = ORGANISM_SUBJECT.load()
    fit(
        model, encode_rows(rows.select_columns(["prompt", "completion"]), tokenizer),
        steps=BUDGET.steps, batch=BUDGET.batch, learning_rate=BUDGET.learning_rate, seed=seed,
    )  # fmt: skip
    found = examined(model, tokenizer, questions(), ORGANISM_SUBJECT)
    return {
        **{name: found.shares[name].value for name in ("hs", "hs_content", "fa")},
        "hits": {name: list(map(float, found.hits(name).values())) for name in ("hs", "fa")},
        "rows": len(rows), "seed": seed, "cpu_seconds": round(time.process_time() - began, 2),
    }  # fmt: skip


def tuned_once(path: Path, rows: Dataset, seed: int) -> dict[str, Any]:
    """Return what tuning on the rows did, as the file says or made now."""
    return kept(path, lambda: tuned_on(rows, seed) | {"budget": asdict(BUDGET)})


def run_sets(out: Path, seeds: Sequence[int]) -> None:
    """Tune on every set at every seed, as far as time goes; what has run is not run again."""
    for number, seed in order(seeds):
        one = SETS[number]
        found = tuned_once(out / "sets" / f"{one.name}-s{seed}.json", rows_of(one, seed), seed)
        print(f"{one.name} seed {seed}: HS {found['hs']:.2f} FA {found['fa']:.2f}", flush=True)
