"""Run the engine matrix and write ``results/engines.json``, cell by cell.

Usage: ``PYTHONPATH=src:. python measurements/engines.py [--column NAME] [--tuning NAME] [--again]``
(all of it: half an hour on an idle core; several may run side by side), then ``make docs``. Cells
that are in the file already are left as they are, unless ``--again`` is given.
"""

import argparse
import contextlib
import fcntl
import io
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import datasets
import torch
from transformers.utils import logging

from holdfast.results.provenance import this_machine, versions
from tests.contract.recipes import Recipe
from tests.engines.cells import cell
from tests.engines.columns import COLUMNS, Column
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
        with _alone():
            known = key in _document()["cells"]
        if asked and (given.again or not known):
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
    with _alone():
        document = _document()
        document["cells"] = dict(sorted((document["cells"] | {key: found._asdict()}).items()))
        document["columns"] = {name: _terms(column) for name, column in COLUMNS.items()}
        document |= {"machine": this_machine().model_dump(), "versions": versions()}
        RESULT.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _terms(column: Column) -> dict[str, str | float]:
    names = ("title", "tolerance", "against")
    return {name: getattr(column, name) for name in names}


@contextlib.contextmanager
def _alone() -> Generator[None]:
    """Hold the file against others that run cells beside this one."""
    with (Path(tempfile.gettempdir()) / "holdfast-engines.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _document() -> dict:
    if not RESULT.exists():
        return {"command": "python measurements/engines.py", "cells": {}}
    return json.loads(RESULT.read_text())


if __name__ == "__main__":
    main()
