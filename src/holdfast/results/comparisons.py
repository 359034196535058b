"""What a bench's answers say together: worst cases, fronts, harm at equal task accuracy.

They are computed once, while the answers are at hand, and kept in the result: a published result
has no answers any more, and a page needs none.
"""

from pydantic import Field

from holdfast.evaluation.interval import Interval
from holdfast.results.records import Attack, Number, Record

__all__ = [
    "BenchSummary", "EqualAccuracy", "Front", "FrontRow", "HardestAttack", "LeftOut",
    "WorstCaseRow", "WorstCaseTable",
]  # fmt: skip


class LeftOut(Record):
    """An arm that a comparison could not take in."""

    defense: str
    why: str = Field(description="What it lacks.")


class WorstCaseRow(Record):
    """One arm at its worst over the attacks of its table."""

    defense: str
    control: bool = False
    seeds: int = Field(description="Seeds that ran under every attack of the table.")
    hs: Interval = Field(description="The largest harmful score over the attacks.")
    attack: Attack | None = Field(
        default=None, description="Where it was; null for the model that nobody attacked."
    )
    hs_by_seed: list[float] = Field(
        default_factory=list[float], description="Each seed's harmful score at that attack."
    )
    over_refusal: Interval | None = Field(default=None, description="At that attack.")
    over_refusal_worst: Interval | None = Field(default=None, description="The largest of all.")
    fa: Interval | None = Field(default=None, description="At that attack.")
    fa_worst: Interval | None = Field(default=None, description="The smallest of all.")
    relative_time: Number = Field(
        default=None,
        description="Time over that of plain fine-tuning under the same attack and seed, mean.",
    )
    relative_memory: Number = Field(default=None, description="The same of peak memory.")


class WorstCaseTable(Record):
    """The arms that ran under the same attacks of one scenario; over these the worst is taken."""

    scenario: str
    attacks: list[Attack]
    rows: list[WorstCaseRow] = Field(description="In the recipe's order.")
    left_out: list[LeftOut] = Field(default_factory=list[LeftOut])


class FrontRow(Record):
    """One arm under the attack of a front."""

    defense: str
    control: bool = False
    family: str = ""
    strength: Number = None
    fa: Interval
    hs: Interval
    on_front: bool = Field(description="No other arm has more accuracy at no more harm.")
    stability: float = Field(description="Share of resamples that agree it is on the front.")


class EqualAccuracy(Record):
    """A family's harmful score where its curve crosses a task accuracy."""

    family: str
    control: bool = False
    below: float = Field(description="Accuracy given up against plain fine-tuning, a share.")
    accuracy: float
    hs: Interval | None = Field(description="Null where the curve does not reach the accuracy.")
    inside: Number = Field(default=None, description="Share of resamples that reach it.")
    versus: dict[str, Interval] = Field(
        default_factory=dict[str, Interval],
        description="This family minus another at the same accuracy, by the other's name.",
    )


class Front(Record):
    """Safety against utility under one attack."""

    attack: Attack
    seeds: list[int]
    rows: list[FrontRow] = Field(description="In the recipe's order.")
    curves: dict[str, list[str]] = Field(
        description="Arms of each family by rising strength, plain fine-tuning first."
    )
    equal: list[EqualAccuracy] = Field(default_factory=list[EqualAccuracy])
    left_out: list[LeftOut] = Field(default_factory=list[LeftOut])


class HardestAttack(Record):
    """Where plain fine-tuning did most harm and still learned its task, and what is left there."""

    attack: Attack
    fa_kept: float = Field(description="Task accuracy that plain fine-tuning had to reach there.")
    third: dict[str, Interval] = Field(
        default_factory=dict[str, Interval],
        description="Harmful score of an arm under it minus a third of plain's, by the arm's name.",
    )


class BenchSummary(Record):
    """All comparisons of a bench."""

    worst: list[WorstCaseTable] = Field(default_factory=list[WorstCaseTable])
    fronts: list[Front] = Field(default_factory=list[Front])
    hardest: HardestAttack | None = Field(
        default=None, exclude_if=lambda found: found is None,
        description="One attack over all scenarios; null without plain fine-tuning's answers.",
    )  # fmt: skip
