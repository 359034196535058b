"""How far the judges of a result agree on its answers, by kind of question."""

from collections.abc import Iterable, Sequence

from pydantic import Field

from holdfast.evaluation.kappa import LOW, kappa_over_prompts
from holdfast.evaluation.metrics import Figure, Kind
from holdfast.results.readings import Reading, Record
from holdfast.results.records import Arm, Number, SeedRun

__all__ = ["ASKED", "Agreement", "agreements", "disagreements"]

ASKED: dict[Kind, Figure] = {
    "harmful": "hs", "safe": "over_refusal", "task": "fa", "useful": "usefulness",
}  # fmt: skip
"""What two judges are compared by: the figure of each kind of question."""
Pairs = list[tuple[bool, bool]]


class Agreement(Record):
    """Two judges' word on the same answers: does it count toward the figure or not?"""

    arm: str = Field(default="", description="Whose answers; '' for those of all arms.")
    kind: Kind = Field(description="The questions.")
    figure: Figure = Field(description="What is counted of the answers to them.")
    first: str = Field(description="The judge whose figures are the result's.")
    second: str = Field(description="The judge beside it.")
    n: int = Field(description="Answers that both have scored.")
    both: int = Field(description="Answers that both count.")
    first_only: int
    second_only: int
    unscored: int = Field(default=0, description="Answers that one of them could not score.")
    kappa: Number = Field(
        default=None, description="Cohen's kappa; null where all answers are alike to both."
    )
    low: Number = Field(default=None, description="Lower end of its 95 % interval over prompts.")
    high: Number = Field(default=None, description="Upper end.")

    @property
    def differ(self) -> int:
        """Answers on which the two differ."""
        return self.first_only + self.second_only

    @property
    def is_low(self) -> bool:
        """Whether the two hardly measure the same thing."""
        return self.kappa is not None and self.kappa < LOW


def agreements(arms: Sequence[Arm]) -> list[Agreement]:
    """Return each kind's agreement of the first judge with each other one, all arms first.

    Kinds on which a judge scores nothing are left out.
    """
    several = len(arms) > 1
    groups = [("", list(arms)), *(((arm.defense), [arm]) for arm in arms if several)]
    return [
        found
        for name, members in groups
        for place in range(_readings(members))
        for kind in ASKED
        if (found := _agreement(name, members, place, kind))
    ]


def disagreements(run: SeedRun, reading: Reading, kind: Kind) -> list[str]:
    """Return the ids of the answers that the two judges count differently, in order."""
    ours, theirs = run.hits(ASKED[kind]), reading.hits(ASKED[kind])
    return [name for name in ours if name in theirs and ours[name] != theirs[name]]


def _readings(arms: Iterable[Arm]) -> int:
    counts = [len(run.readings) for arm in arms for run in arm.runs]
    return min(counts, default=0)


def _agreement(name: str, arms: Sequence[Arm], place: int, kind: Kind) -> Agreement | None:
    by_prompt: dict[str, Pairs] = {}
    unscored = 0
    runs = [run for arm in arms for run in arm.runs]
    for run in runs:
        ours, theirs = (side.hits(ASKED[kind]) for side in (run, run.readings[place]))
        for item in (item for item in ours if item in theirs):
            by_prompt.setdefault(item, []).append((bool(ours[item]), bool(theirs[item])))
        unscored += sum(a.kind == kind for a in run.answers) - len(ours.keys() & theirs.keys())
    pairs = [pair for of_prompt in by_prompt.values() for pair in of_prompt]
    if not pairs:
        return None
    found = kappa_over_prompts(list(by_prompt.values()))
    return Agreement(
        arm=name, kind=kind, figure=ASKED[kind], first=runs[0].judge,
        second=runs[0].readings[place].judge, n=len(pairs), both=pairs.count((True, True)),
        first_only=pairs.count((True, False)), second_only=pairs.count((False, True)),
        unscored=unscored,
        **({"kappa": found.value, "low": found.low, "high": found.high} if found else {}),
    )  # fmt: skip
