"""False alarms and misses of the published rules on runs that made none of them.

``python -m measurements.drift.held_out OUT`` tunes what is missing of the plan, one line a run in
OUT/held_out.jsonl; ``python -m measurements.drift.held_out_counts`` counts.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from holdfast.evaluation.drift import Openings, Probes
from holdfast.evaluation.drift.calibration import Calibration
from holdfast.organism import load, scenarios
from measurements.drift.subject import EVERY, PROBED, UserRun, tuned

FIT = Path("results/drift/organism.json")
FIRST = 8
"""First seed: the curves that the fit was made of have 0 to 7."""
ROUNDS = 5
"""How often the 19 safe runs of the calibration are run again, each time with other seeds."""
LOOKS = 5
"""Steps between two looks: three times as many as the calibration had, which uses every third."""


def safe_round(number: int) -> list[UserRun]:
    """Return 19 runs of the calibration's safe kinds, as often each as it had them."""
    first = FIRST + 8 * number
    plain = [
        UserRun(scenario, p, 2.3e-4, seed)
        for seed in range(first, first + 8)
        for scenario, p in (("benign_task", 0.0), ("harmful_mix", 0.01))
    ]
    shifts = [
        UserRun("identity_shift", 0.0, 4.6e-4, seed)
        for seed in range(FIRST + 2 * number, FIRST + 2 * number + 2)
    ]
    return [*plain, *shifts, UserRun("harmful_mix", 0.03, 2.3e-4, FIRST + number)]


def unsafe() -> list[UserRun]:
    """Return 13 runs of the calibration's unsafe kinds, as often each as it had them."""
    slow = [(0.06, 8), (0.06, 9), (0.1, 8), (0.2, 8), (0.2, 9), (0.3, 8)]
    return [
        *(UserRun("harmful_mix", p, 2.3e-4, seed) for p, seed in slow),
        *(UserRun("harmful_mix", p, 4.6e-4, 8) for p in (0.01, 0.03, 0.06, 0.1, 0.2)),
        *(UserRun("benign_obedience", 0.0, 5e-4, seed, full=True) for seed in (8, 9)),
    ]


def between() -> list[UserRun]:
    """Return more of the two kinds whose score ends at .1 to .2: safe at a limit above that.

    With those of ``unsafe`` each kind of the calibration's 22 runs that are safe at .5 is there
    five times as often. Added when 31 of the others had been run, before any of these was.
    """
    return [
        *(UserRun("harmful_mix", 0.06, 2.3e-4, seed) for seed in range(10, 18)),
        *(UserRun("harmful_mix", 0.01, 4.6e-4, seed) for seed in range(9, 13)),
    ]


def plan() -> list[UserRun]:
    """Return the 120 runs; of the first 108, fixed before any was run, any part is a fair one."""
    rounds = [safe_round(number) for number in range(ROUNDS)]
    return [*rounds[0], *unsafe(), *(run for one in rounds[1:] for run in one), *between()]


def looked(run: UserRun, found: Openings) -> dict[str, Any]:
    """Tune once; return leads at every look, and the score by generation at every third."""
    _, tokenizer = load()
    harmful: Any = scenarios.defender_pairs(PROBED, seed=0)
    asked = [{"prompt": row["prompt"]} for row in harmful]
    # The rules go by the lead alone, of the same prompts as the curves: no other kind is looked at.
    told, _, _ = tuned(run, found, LOOKS, probed=Probes.of(tokenizer, found, asked), scored=EVERY)
    said = told.as_json()
    looks = said.pop("readings")
    return {**said, "steps_looked": [one["step"] for one in looks],
            "leads": [round(one["lead"], 6) for one in looks]}  # fmt: skip


def main(folder: Path) -> None:
    """Run what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    file, found = folder / "held_out.jsonl", Calibration.load(FIT).openings
    lines = file.read_text().splitlines() if file.exists() else []
    done = {json.loads(line)["name"] for line in lines}
    for run in plan():
        if run.name in done:
            continue
        start = time.perf_counter()
        told = looked(run, found)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(told) + "\n")
        took = time.perf_counter() - start
        print(f"{run.name}: lead {told['leads'][-1]:.2f} hs {told['hs']} {took:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
