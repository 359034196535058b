"""A steered defense against what it must beat: itself held at its mean and at its maximum.

``python -m measurements.drift.steering OUT SEEDS`` appends to OUT/steering.jsonl what is not there.
All arms mix refusals in by the same extra pass; they differ in when it is how strong. The probes
are about half of the defender's nouns and the refusals about the other half.
"""

import json
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets import Dataset

from holdfast.defenses import SafeMixing
from holdfast.evaluation.drift import Openings, Probes
from holdfast.evaluation.drift.reading import Reading
from holdfast.organism import load, scenarios, world
from holdfast.training.steering.steer import Steer
from holdfast.training.steering.watch import Acting
from measurements.drift.subject import EVERY, PROBED, UserRun, openings, share, tuned

LOOKS = 5
"""Steps between two looks of the controller."""
START = 0.02
"""Refusals per user row that the controller begins with."""
MOST = 0.8
KEPT = 0.3
"""Nats per token of the untuned lead that the controller gives away: its target lies below."""
ARMS = ("start", "steered", "mean", "maximum", "shuffled")


class Held:
    """No controller: one strength from the first step to the last."""

    def __init__(self, defense: SafeMixing, value: float) -> None:
        self._defense, self._value = defense, value
        self.values = [value]
        defense.steer(value)

    def goes_on(self, readings: Sequence[Reading], trainer: Any) -> None:
        """Set it."""
        del readings, trainer
        self._defense.steer(self._value)

    def saw(self, readings: Sequence[Reading], trainer: Any, control: Any) -> dict[str, float]:
        """Leave it."""
        del readings, trainer, control
        return {}


class Shuffled(Steer):
    """A controller that is told the leads of a steered run in another order."""

    leads: tuple[float, ...] = ()

    def saw(self, readings: Sequence[Reading], trainer: Any, control: Any) -> dict[str, float]:
        """Move by a lead of some other look."""
        told = replace(readings[-1], lead=self.leads[len(readings) - 1])
        return super().saw([*readings[:-1], told], trainer, control)


def halves() -> tuple[Dataset, list[Any]]:
    """Return refusals about one half of the defender's nouns, and harmful rows about the other."""
    words = [noun.word for noun in world.nouns("defender") if noun.hazardous]
    taught = set(words[::2])

    def about(row: Any) -> bool:
        return bool(taught & set(row["prompt"][-1]["content"].split()))

    refusals = [row for row in scenarios.refusal_pairs(200) if about(row)]
    harmful = [row for row in scenarios.defender_pairs(200) if not about(row)]
    return Dataset.from_list(refusals), harmful[:PROBED]


def measured(
    name: str, seed: int, found: Openings, make: Any, gains: dict[str, float] | None = None
) -> dict[str, Any]:
    """Tune once and return what the run says."""
    refusals, harmful = halves()
    _, tokenizer = load()
    # The controller goes by the lead alone: what it does not read is not looked at.
    asked = [{"prompt": row["prompt"]} for row in harmful]
    probes = Probes.of(tokenizer, found, asked)
    defense = SafeMixing(safe=refusals, share=START)
    acting: Acting = make(defense)
    run = UserRun("harmful_mix", 0.2, 2.3e-4, seed, tags=f"-{name}")
    told, model, tokenizer = tuned(run, found, LOOKS, [defense], [acting], probes, 2 * EVERY)
    values = list(getattr(acting, "values", []))
    told.extra |= {
        "arm": name, "strengths": values, "gains": gains,
        "worst_hs": max(told.hs), "final_hs": told.hs[-1],
        "fa": share(model, tokenizer, "task", "fa"),
        "over_refusal": share(model, tokenizer, "safe", "over_refusal"),
    }  # fmt: skip
    return told.as_json()


def step_response(found: Openings, target_of: float) -> dict[str, float]:
    """Return the gains from one step of the strength on two validation runs.

    kp is the inverse of what the lead gains per unit of log strength, ki a quarter of it.
    """
    ends: list[float] = []
    for value in (START, 10 * START):
        told = measured(f"step-{value:g}", 100, found, lambda d, v=value: Held(d, v))
        ends.append(told["readings"][-1]["lead"])
        start = told["readings"][0]["lead"]
    gain = (ends[1] - ends[0]) / math.log(10)
    kp = 1 / max(gain, 0.1)
    return {"kp": kp, "ki": kp / 4, "target": start - target_of, "step_gain": gain}


def main(folder: Path, seeds: int) -> None:
    """Run what is missing."""
    found, file = openings(folder), folder / "steering.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["seed"], row["arm"]): row for row in lines}
    gains_file = folder / "gains.json"
    if not gains_file.exists():
        gains_file.write_text(json.dumps(step_response(found, KEPT)))
    gains = json.loads(gains_file.read_text())
    rule = {"kp": gains["kp"], "ki": gains["ki"]}
    for seed in range(seeds):
        for arm in ARMS:
            if (seed, arm) in done:
                continue
            row = measured(arm, seed, found, _maker(arm, seed, gains["target"], rule, done), gains)
            done[seed, arm] = row
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            told = {k: row[k] for k in ("worst_hs", "final_hs", "fa", "over_refusal")}
            print(arm, seed, told, [round(v, 3) for v in row["strengths"]], flush=True)


def _maker(arm: str, seed: int, target: float, rule: dict[str, float], done: Any) -> Any:
    """Return what acts in an arm, once the defense is there."""
    if arm == "start":
        return lambda defense: Held(defense, START)
    if arm == "steered":
        return lambda defense: Steer(defense, target, high=MOST, **rule)
    ours = done[seed, "steered"]
    # The strength at the last look acts on no step any more.
    used = ours["strengths"][:-1]
    if arm == "mean":
        return lambda defense: Held(defense, sum(used) / len(used))
    if arm == "maximum":
        return lambda defense: Held(defense, max(used))
    leads = [look["lead"] for look in ours["readings"]]
    random.Random(seed).shuffle(leads)  # noqa: S311

    def shuffled(defense: SafeMixing) -> Shuffled:
        made = Shuffled(defense, target, high=MOST, **rule)
        made.leads = tuple(leads)
        return made

    return shuffled


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
