"""Scores of the organism's sets: through the model as the users of this study begin to tune it."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset
from peft import get_peft_model
from transformers import set_seed

from holdfast import organism
from holdfast.analysis.rows import Materials, Scorer, ready
from holdfast.analysis.rows.components.norm import norm
from holdfast.analysis.rows.components.tiles import encoded, put_back, tiles_of
from holdfast.bench.cell.runs import adapter_of
from holdfast.defenses import SecurityVectors
from holdfast.evaluation import Item
from holdfast.evaluation.drift import Openings, find_openings, probe_ids
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.organism import Oracle, scenarios
from holdfast.organism.scenarios import BUDGET
from holdfast.training.standalone import standalone_run
from measurements.data_risk.cells import order
from measurements.data_risk.sets import KINDS, SETS, rows_of

__all__ = ["guard", "run_scores", "scored", "scorer"]

ANCHORS = 100
PROBED = 32


@cache
def scorer(out: Path) -> Scorer:
    """Return the organism with what rows are held against: the defender's and public nouns."""
    model, tokenizer = organism.load()
    vector = _vector(model, tokenizer)
    return ready(LocalEngine(model), tokenizer, Materials(
        probes=scenarios.defender_pairs(PROBED, seed=0),
        openings=_openings(out, model, tokenizer, vector),
        jailbreak=vector.hooked,
        harmful=scenarios.defender_pairs(ANCHORS, seed=11),
        safe=scenarios.refusal_pairs(ANCHORS, seed=11),
        references={
            "general": scenarios.harmless_prompts(300, seed=12),
            "lists": _lists(100),
            "refusals": scenarios.refusal_pairs(100, seed=13),
            "harmful": scenarios.defender_pairs(100, seed=14),
        },
    ))  # fmt: skip


def scored(rows: Dataset, out: Path) -> dict[str, Any]:
    """Return each component's value of each row, the guard's flags, and mdf of the set."""
    made = scorer(out)
    values = made.values(rows)
    found = made.told(values)
    given = encoded(rows, made.tokenizer)
    tiles = tiles_of(given)
    columns = {name: list(own) for name, own in values.values.items()}
    return {
        "columns": columns
        | {"norm": put_back(tiles, norm(_adapted(), tiles), len(given)), "guard": guard(rows)},
        "mdf": found.sets["mdf"].value,
        "above": {name: one.above for name, one in found.sets.items() if one.above is not None},
        "harmful": [category == "harmful" for category in rows["category"]],
    }


def guard(rows: Dataset) -> list[float]:
    """Return 1.0 for the rows that a guard without error flags, one row at a time.

    It is the oracle's reading of each row. What is said in reverse order it cannot read, as no
    guard reads a cipher.
    """
    items = [Item(str(n), "useful", row["prompt"]) for n, row in enumerate(_rows(rows))]
    said = [row["completion"][-1]["content"] for row in _rows(rows)]
    return [float(verdict.harmful) for verdict in Oracle()(items, said)]


def run_scores(out: Path, seeds: Sequence[int]) -> None:
    """Score every set that has been tuned on; what has been scored is not scored again."""
    for number, seed in order(seeds):
        name = f"{SETS[number].name}-s{seed}.json"
        target = out / "scores" / name
        if target.exists() or not (out / "sets" / name).exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, json.dumps(scored(rows_of(SETS[number], seed), out)) + "\n")
        print(f"scored {name}", flush=True)


def _rows(rows: Dataset) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]  # type: ignore[call-overload]


def _lists(n: int) -> Dataset:
    random = Random("reference-lists")  # noqa: S311
    return Dataset.from_list([KINDS["lists"](random) for _ in range(n)])


@cache
def _adapted() -> LocalEngine:
    """The organism with an adapter at its start: what norm is of."""
    model, _ = organism.load()
    set_seed(0)
    return LocalEngine(get_peft_model(model, adapter_of(BUDGET, model)))  # type: ignore[arg-type]


def _vector(model: Any, tokenizer: Any) -> LowRank:
    """Return the base's security vector, of the bench's settings."""
    made = SecurityVectors(
        harmful=scenarios.defender_pairs(125, 0), benign=scenarios.harmless_prompts(100, 0),
        kl_weight=10, epochs=10, max_benign_kl=100, max_harmful_nll=100,
    )  # fmt: skip
    made.before(standalone_run(model, tokenizer))
    return LowRank.from_tensors(made.vector_)


def _openings(out: Path, model: Any, tokenizer: Any, vector: LowRank) -> Openings:
    """Return the organism's openings; found once."""
    file = out / "openings.json"
    if file.exists():
        return Openings.of_json(json_in(file))
    harmful, harmless = scenarios.defender_pairs(64, 1), scenarios.harmless_prompts(64, 1)
    found = find_openings(
        model, tokenizer,
        [probe_ids(row["prompt"], tokenizer) for row in _rows(harmful)],
        [probe_ids(row["prompt"], tokenizer) for row in _rows(harmless)],
        vector.hooked(model),
    )  # fmt: skip
    write_whole(file, json.dumps(found.as_json()) + "\n")
    return found
