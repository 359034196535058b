"""``python -m measurements.fault_drill``: run the drill, or a part of it, and write its figures."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from holdfast.results.provenance import this_machine, versions
from measurements.fault_drill import kills
from measurements.fault_drill.damage import damage_case
from measurements.fault_drill.inputs import WRONG, case, longest
from measurements.fault_drill.kills import kill_case, swap_case
from measurements.fault_drill.tally import Tally
from measurements.fault_drill.worker import watched
from measurements.fault_drill.workplace import build

PARTS = {"kills": (20, 2), "swaps": (80, 12), "damage": (70, 4), "inputs": (5000, 39)}
"""Cases of a whole drill, and of a quick one."""
Found = dict[str, Any]
Case = Callable[[int, Path, Path], Found | None]


def inputs(work: Path, cases: range) -> Found:
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


def one_by_one(name: str, run: Case, cases: range, work: Path, wrong: Sequence[str]) -> Found:
    """Run the cases of a part, a fork each; None ends the part: there are no more."""
    base, tally = build(work / "base"), Tally(work / f"{name}.jsonl")
    for number in tally.left(cases):
        said = run(number, base, work)
        if said is None:
            said = {"outcome": "no such point"}
        tally.add(number, said)
        _say(f"{name} {number} of {len(cases)}: {said}"[:300])
    return tally.summary(cases, wrong)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="A few cases of each part.")
    parser.add_argument("--first", type=int, default=0, help="First bad input.")
    parser.add_argument("--count", type=int, help="How many cases, in place of the part's own.")
    parser.add_argument("--work", type=Path, default=Path("/tmp/holdfast_fault_drill"))  # noqa: S108
    return parser.parse_args()


def run_part(part: str, given: argparse.Namespace, work: Path) -> Found:
    """Run one part of the drill and return its figures."""
    whole, few = PARTS[part]
    count = given.count or (few if given.quick else whole)
    if part == "inputs":
        return inputs(work, range(given.first, given.first + count))
    run: Case = {"kills": kill_case, "swaps": swap_case, "damage": damage_case}[part]
    return one_by_one(part, run, range(count), work, kills.WRONG)


def main() -> None:
    """Run what is asked for and write it beside what the file holds of other parts."""
    given = _arguments()
    out, work = given.out.absolute(), given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TMPDIR=str(work))
    torch.set_num_threads(1)
    found = json.loads(out.read_text()) if out.exists() else {}
    for part in PARTS if given.part == "all" else [given.part]:
        found[part] = run_part(part, given, work)
        found |= {"machine": this_machine().model_dump(), "versions": versions()}
        out.write_text(json.dumps(found, indent=1) + "\n")
        _say(f"{part}: {found[part]['outcomes']}, wrong: {len(found[part]['wrong'])}")


if __name__ == "__main__":
    main()
