"""Usage: ``python -m measurements.data_risk sets OUT``, and then scores, rows and publish."""

import argparse
from pathlib import Path

from measurements.data_risk.cells import run_sets


def main() -> None:
    """Run one part of the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("sets",))
    parser.add_argument("out", type=Path, help="where what has run is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    run_sets(given.out, given.seeds)


if __name__ == "__main__":
    main()
