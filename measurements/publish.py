"""A run's ``result.json`` as it is published: without raw answers; or a bench's whole folder.

Of a folder, tables and page are copied, ``result.json`` loses its answers, and every cell is
packed without its texts (``cells/KEY/result.json.gz``): a later run goes on from what is published.
What cells shared stays behind: it holds models that were tuned on harmful rows.

What only answers tell is added before: the hardest attack of a bench that was run before there was
one, and ``config.comparisons``, which has, for each scenario and method
that ran beside controls of its own (``method(...)``), the method minus plain fine-tuning and minus
each control, paired by prompt and seed.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from holdfast.bench.cell.packed import PACKED, pack
from holdfast.comparisons.hardest import hardest
from holdfast.evaluation.compare import compare_hits
from holdfast.evaluation.metrics import Figure
from holdfast.results.records import PLAIN, Arm
from holdfast.results.result import RunResult

FIGURES: tuple[Figure, ...] = ("hs", "fa", "usefulness")


def published(result: RunResult) -> RunResult:
    """Return the result with its comparisons and without its answers."""
    rows = comparisons(result.arms)
    added: dict[str, Any] = {"config": {**result.config, "comparisons": rows}} if rows else {}
    if result.bench is not None and (found := hardest(result.arms)) is not None:
        added["bench"] = result.bench.model_copy(update={"hardest": found})
    return result.without_answers().model_copy(update=added)


def comparisons(arms: list[Arm]) -> list[dict[str, Any]]:
    """Return each method minus plain fine-tuning and minus its own controls, in the arms' order."""
    found: list[dict[str, Any]] = []
    for arm in arms:
        near = [one for one in arms if (one.scenario, one.p) == (arm.scenario, arm.p)]
        controls = [one for one in near if one.defense.startswith(f"{arm.defense}(")]
        plain = [one for one in near if one.defense == PLAIN]
        found += [difference(arm, other) for other in (*plain, *controls) if controls]
    return found


def difference(ours: Arm, theirs: Arm) -> dict[str, Any]:
    """Return one row: scenario, both names, and [difference, low, high] of each figure."""
    row: dict[str, Any] = {"scenario": ours.scenario, "arm": ours.defense, "minus": theirs.defense}
    for figure in FIGURES:
        sides = [[run.hits(figure) for run in arm.runs] for arm in (ours, theirs)]
        value = compare_hits(*sides)
        if value is not None:
            row[figure] = [value.value, value.low, value.high]
    return row


def publish_folder(source: Path, target: Path) -> None:
    """Write what of a bench's folder is published into ``target``, beside what is there."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (file for file in source.iterdir() if file.suffix in (".csv", ".json", ".html")):
        shutil.copyfile(file, target / file.name)
    published(RunResult.load(source / "result.json")).save(target / "result.json")
    for file in sorted(source.glob("cells/*/result.json*")):
        place = target / "cells" / file.parent.name
        if file.name == PACKED:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place / PACKED)
        else:
            pack(file, place)


def main() -> None:
    """Read one result, or a bench's folder, and write the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", type=Path, help="result.json of a demo or bench, or its folder")
    parser.add_argument("out", type=Path, help="results/NAME.json, or results/NAME")
    given = parser.parse_args()
    if given.result.is_dir():
        publish_folder(given.result, given.out)
    else:
        published(RunResult.load(given.result)).save(given.out)


if __name__ == "__main__":
    main()
