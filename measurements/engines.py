"""Run the engine matrix and write ``results/engines.json``, cell by cell.

Usage: ``PYTHONPATH=src:. python measurements/engines.py [--column NAME] [--tuning NAME] [--again]``
(all of it: half an hour on an idle core), then ``make docs``. Cells that are in the file already
are kept unless ``--again``; a cell that is neither equal nor refused is printed, and none is
written for it.
"""

import argparse
import contextlib
import io
import itertools
import json
import sys
import time
from pathlib import Path

import datasets
import torch
from transformers.utils import logging

from holdfast.results.provenance import this_machine, versions
from tests.contract.recipes import Recipe
from tests.engines.cells import cell
from tests.engines.columns import COLUMNS
from tests.engines.trainers import TUNINGS, Tuning, engine_recipes

RESULT = Path(__file__).resolve().parent.parent / "results" / "engines.json"


def main() -> None:
    """Run the cells that are asked for and write them beside the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--column", choices=COLUMNS, action="append")
    parser.add_argument("--tuning", choices=TUNINGS, action="append")
    parser.add_argument("--only", action="append", help="the beginning of a defense's name")
    parser.add_argument("--again", action="store_true", help="run what is in the file, too")
    given = parser.parse_args()
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    chosen = itertools.product(given.tuning or TUNINGS, engine_recipes(), given.column or COLUMNS)
    wrong = 0
    for tuning, make, column in chosen:
        key = f"{column}/{tuning}/{make.label}"
        asked = not given.only or any(make.label.startswith(one) for one in given.only)
        if asked and (given.again or key not in _document()["cells"]):
            wrong += _run(key, make, column, tuning)
    sys.exit(f"{wrong} cells are wrong" if wrong else 0)


def _run(key: str, make: Recipe, column: str, tuning: Tuning) -> int:
    """Run one cell and keep it; return 1 where it is neither equal nor refused."""
    began = time.process_time()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = cell(make, COLUMNS[column], tuning)
    except Exception as error:  # noqa: BLE001  # A cell may break in any way; the rest are run.
        print(f"{key}: WRONG {type(error).__name__}: {' '.join(str(error).split())[:600]}")
        return 1
    print(f"{key}: {found.state} {found.apart:.1e} {time.process_time() - began:.1f} s", flush=True)
    document = _document()
    document["cells"][key] = found._asdict()
    document["cells"] = dict(sorted(document["cells"].items()))
    document |= {"machine": this_machine().model_dump(), "versions": versions()}
    RESULT.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _document() -> dict:
    if not RESULT.exists():
        return {"command": "python measurements/engines.py", "cells": {}}
    return json.loads(RESULT.read_text())


if __name__ == "__main__":
    main()
