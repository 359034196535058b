"""The study of row scores on the organism, part by part; each takes up where it was left.

Usage: ``python -m measurements.data_risk sets OUT`` tunes on the sets, ``scores`` scores those that
have been tuned on, ``rows`` makes the row test, ``evasive`` trains against push, and ``publish``
writes results/data_risk/.
"""

import argparse
from pathlib import Path

from measurements.data_risk.cells import run_sets
from measurements.data_risk.evasive import run_evasive
from measurements.data_risk.publish import publish
from measurements.data_risk.row_test import run_rows
from measurements.data_risk.scoring import run_scores

PARTS = ("sets", "scores", "rows", "evasive", "publish")


def main() -> None:
    """Run one part of the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="where what has run is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    parts = {
        "sets": lambda: run_sets(given.out, given.seeds),
        "scores": lambda: run_scores(given.out, given.seeds),
        "rows": lambda: run_rows(given.out),
        "evasive": lambda: run_evasive(given.out),
        "publish": lambda: publish(given.out, given.seeds),
    }
    for part in given.parts:
        parts[part]()


if __name__ == "__main__":
    main()
