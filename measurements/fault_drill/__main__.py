"""``python -m measurements.fault_drill``: run the drill, or a part of it, and write its figures."""

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.results.provenance import this_machine, versions
from measurements.fault_drill.inputs import WRONG, case, longest
from measurements.fault_drill.tally import Tally
from measurements.fault_drill.worker import watched
from measurements.fault_drill.workplace import build

INPUTS = 5000
QUICK = 60


def inputs(work: Path, cases: range) -> dict[str, Any]:
    """Run the generated bad inputs."""
    base, tally = build(work / "base"), Tally(work / "inputs.jsonl")
    began, left = time.monotonic(), tally.left(cases)
    run = partial(case, base=base, work=work)
    for done, (number, said) in enumerate(watched(left, run, longest), 1):
        tally.add(number, said)
        if said["outcome"] in WRONG:
            _say(f"case {number}: {said['outcome']}: {said.get('argv')}: {said.get('said')}")
        if done % 50 == 0:
            rate = (time.monotonic() - began) / done
            _say(
                f"inputs {done} of {len(left)}, about {rate * (len(left) - done) / 60:.0f} min left"
            )
    return tally.summary(cases, WRONG)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=["inputs", "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="A few cases of each part.")
    parser.add_argument("--first", type=int, default=0, help="First bad input.")
    parser.add_argument("--count", type=int, help=f"How many bad inputs; {INPUTS} by default.")
    parser.add_argument("--work", type=Path, default=Path("/tmp/holdfast_fault_drill"))  # noqa: S108
    return parser.parse_args()


def main() -> None:
    """Run what is asked for and write it beside what the file holds of other parts."""
    given = _arguments()
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TMPDIR=str(given.work))
    out, work = given.out.absolute(), given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    count = given.count or (QUICK if given.quick else INPUTS)
    found = json.loads(out.read_text()) if out.exists() else {}
    if given.part in ("inputs", "all"):
        found["inputs"] = inputs(work, range(given.first, given.first + count))
    found |= {"machine": this_machine().model_dump(), "versions": versions()}
    out.write_text(json.dumps(found, indent=1) + "\n")
    wrong = {part: len(found[part]["wrong"]) for part in ("inputs",) if part in found}
    _say(f"wrong: {wrong}; written to {out}")


if __name__ == "__main__":
    main()
