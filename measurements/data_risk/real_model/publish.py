"""What is published of the chat model: the tables of the organism, by the same functions."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from holdfast.analysis.rows.calibration import FILE
from holdfast.files.base_mark import BaseMark
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole
from holdfast.results.provenance import this_machine, versions
from measurements.data_risk.publish import (
    LINE,
    TARGET,
    calibration_of,
    components_of,
    finding,
    stratum,
    table_row,
    won_by_seed,
)
from measurements.data_risk.real_model.row_test import harmful_left, results, sets_of_test
from measurements.data_risk.real_model.scores import scores_of
from measurements.data_risk.real_model.sets import PLANTED, REAL_SETS
from measurements.data_risk.real_model.work import ASKED, TRAINING, Work
from measurements.data_risk.sets import RiskSet
from measurements.real.answers import sha256

__all__ = ["publish"]

BASE = "SmolLM2-135M-Instruct, aligned further by measurements.real"
Row = dict[str, Any]


def publish(work: Work, sets: Sequence[RiskSet], seeds: Sequence[int]) -> None:
    """Write results/data_risk/real.json of what has run, and the calibration once all sets have."""
    table = [row for one in sets if (row := table_row(work.out, one, list(seeds)))]
    strata = {"harmless": [row for row in table if row["harmless"]], "all": table}
    tunes = {one.name: _harm(work, one, seeds) for one in REAL_SETS}
    harm = {one.name: work.tuned(one, 0)["hs"] for one in REAL_SETS
            if work.tune_file(one, 0).exists()}  # fmt: skip
    chosen = sets_of_test(harm) if len(harm) == len(REAL_SETS) else ()
    # Of a part of the sets nothing is told of an order; what has run is told set by set.
    whole = len(table) == len(REAL_SETS)
    found = {name: stratum(rows) for name, rows in strata.items() if whole}
    tests = won_by_seed(results(work, chosen))
    for one in (one for one in chosen if one.name in tests and not one.harmless):
        tests[one.name]["harmful_left"] = harmful_left(work, one)
    said = {
        "setting": {
            "base": BASE,
            "weights_sha256": sha256(work.model / "model.safetensors"),
            "training": asdict(TRAINING), "items": ASKED, "sets": len(table),
            "planned": len(REAL_SETS), "seeds": list(seeds),
            "tunes": sum(map(len, tunes.values())), "harmed_above": LINE,
        },
        "before": work.before()["hs"], "openings": json_in(work.out / "openings.json"),
        "harm": {name: by_seed for name, by_seed in tunes.items() if by_seed},
        "sets": table, "strata": found, "row_test": tests,
        "planted": _planted(work, seeds),
        "machine": this_machine().model_dump(), "versions": versions(),
    }  # fmt: skip
    first = chosen[0].name if chosen else ""
    components = components_of(said, strata["harmless"], first) if whole else {}
    said["verdicts"] = {name: one.label for name, one in components.items()}
    write_whole(TARGET / "real.json", json.dumps(said, indent=1) + "\n")
    if components:
        made, (model, _) = scores_of(work).scorer, work.subject.load()
        own = calibration_of(made, BaseMark.of(model, BASE), components, found["harmless"])
        own.save(TARGET / f"real_{FILE}")


def _harm(work: Work, one: RiskSet, seeds: Sequence[int]) -> dict[str, float]:
    """Return HS after tuning on a set by seed, of the seeds that have run."""
    ran = [seed for seed in seeds if work.tune_file(one, seed).exists()]
    return {str(seed): work.tuned(one, seed)["hs"] for seed in ran}


def _planted(work: Work, seeds: Sequence[int]) -> list[Row]:
    """Return how harmful rows at p = .01 are found, set by set."""
    files = [(one, seed, work.out / "scores" / f"{one.name}-s{seed}.json")
             for one in PLANTED for seed in seeds]  # fmt: skip
    return [finding(one, seed, json_in(file)) for one, seed, file in files if file.exists()]
