"""The arm `tuned` from a run of the packaged recipe of that name, as ``results/tuned.json``.

Usage: ``holdfast bench tuned --out DIR``, then ``python measurements/tuned.py DIR``. The rule is
``holdfast.bench.choosing.tuned``; the file has every point that the choice rests on.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from holdfast.bench.choosing.tuned import tuned_document
from holdfast.organism.scenarios import BUDGETS
from holdfast.results.attacks import attacked
from holdfast.results.result import RunResult

RESULT = Path(__file__).resolve().parent.parent / "results" / "tuned.json"
KEPT = ("split", "items_per_kind", "seeds")


def document_of(result: RunResult) -> dict[str, Any]:
    """Return the choice in every scenario of a bench."""
    found = {
        scenario: tuned_document(arms, BUDGETS[scenario].batch)
        for scenario, arms in attacked(result.arms).items()
    }
    recipe = {key: result.config[key] for key in KEPT}
    return {"command": "holdfast bench tuned", "recipe": recipe, "scenarios": found}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what `holdfast bench tuned` wrote")
    document = document_of(RunResult.load(parser.parse_args().folder / "result.json"))
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
