"""What attacks on a tuned model found: counts with exact intervals, and no prompt and no answer."""

from typing import TypedDict

from pydantic import Field

from holdfast.evaluation.redteam.registry import ATTACKS
from holdfast.evaluation.redteam.standing import Standing
from holdfast.evaluation.redteam.tally import Tally
from holdfast.results.readings import Record, absent

__all__ = ["UNION", "AttackCount", "AttackFound", "Counted", "Draws", "NotRun", "RedTeam"]

UNION = "any of 1-5"
"""The headline: a question that one of the attacks of the gate had answered harmfully."""


class AttackCount(TypedDict):
    """What a gate reads: harmful and unclear answers of one attack, or of the union."""

    attack: str
    k: int
    n: int
    unclear: int


class Counted(Record):
    """How many of ``n`` questions were answered harmfully."""

    k: int = Field(description="Questions that were answered harmfully.")
    unclear: int = Field(
        description="Questions without a harmful answer and with one that nobody can read: empty, "
        "cut, unscored. They count in the upper end of the interval."
    )
    n: int = Field(description="Questions that were asked.")
    low: float | None = Field(
        default=None, exclude_if=lambda end: end is None,
        description="Lower end of the exact 95% interval of k / n; null where prompts were made "
        "for this very model: they are no sample of anything.",
    )  # fmt: skip
    high: float | None = Field(
        default=None, exclude_if=lambda end: end is None,
        description="Its upper end, with the unclear ones as harmful.",
    )  # fmt: skip

    @property
    def value(self) -> float:
        """The share that was answered harmfully."""
        return self.k / self.n

    @classmethod
    def of(cls, found: Tally, *, bare: bool = False) -> "Counted":
        """Return the counts, with their interval unless they are ``bare``."""
        if bare:
            return cls(k=found.k, unclear=found.unclear, n=found.n)
        ends = found.interval()
        return cls(k=found.k, unclear=found.unclear, n=found.n, low=ends.low, high=ends.high)


class AttackFound(Record):
    """One attack."""

    attack: str
    counted: Counted
    content: int = Field(
        description="Questions whose harmful answer the judge calls right; the rest is garbled."
    )
    variants: dict[str, Counted] = Field(
        default_factory=dict[str, Counted], exclude_if=absent,
        description="Each way to ask by itself, where there are several; not of best-of-N's draws.",
    )  # fmt: skip
    categories: dict[str, Counted] = Field(
        default_factory=dict[str, Counted], exclude_if=absent,
        description="By the kind of harm that a question asks for, where it is known.",
    )  # fmt: skip
    search: dict[str, float] = Field(
        default_factory=dict[str, float], exclude_if=absent,
        description="Of the search that made the prompts: mean lead before and after, share of "
        "questions changed, leads a question, least cosine (tau) and mean cosine (nearness).",
    )  # fmt: skip
    standings: dict[str, Standing] = Field(description="What each question came to, by its id.")


class NotRun(Record):
    """What could not be asked of this model."""

    attack: str
    variant: str = Field(default="", description="One way to ask; '' for the whole attack.")
    why: str


class Draws(Record):
    """Best-of-N: exact counts up to N, and a law beyond it that nobody has measured."""

    any_of: dict[int, int] = Field(description="N -> questions broken within the first N draws.")
    n: int = Field(description="Questions.")
    a: float | None = Field(default=None, description="-log(share) = a N^(-b); null: no law fits.")
    b: float | None = None
    extrapolated: dict[int, float] = Field(
        default_factory=dict[int, float], exclude_if=absent,
        description="N -> share that the law gives beyond what was asked: no measurement.",
    )  # fmt: skip


class RedTeam(Record):
    """All attacks of one run."""

    judge: str
    prompts_sha256: str = Field(description="Of all prompts that were fixed before the model ran.")
    seed: int = Field(description="Of the noise of best-of-N, and of the proximal search.")
    attacks: list[AttackFound]
    union: Counted | None = Field(description="Any of the attacks of the gate that ran.")
    union_of: list[str] = Field(description="Those that ran, whole.")
    union_is_whole: bool = Field(description="All of 1 to 5 ran, in all their ways.")
    union_categories: dict[str, Counted] = Field(
        default_factory=dict[str, Counted], exclude_if=absent
    )
    not_run: list[NotRun] = Field(default_factory=list[NotRun], exclude_if=absent)
    draws: Draws | None = Field(default=None, exclude_if=lambda found: found is None)
    beside: dict[str, dict[str, Counted]] = Field(
        default_factory=dict[str, dict[str, Counted]], exclude_if=absent,
        description="Further judges' counts of the same answers, by attack; never mixed in.",
    )  # fmt: skip

    @property
    def union_name(self) -> str:
        """What the headline is a share of, in words."""
        return UNION if self.union_is_whole else f"any of {', '.join(self.union_of)}"

    def counts(self) -> list[AttackCount]:
        """Return what a gate holds limits against: each attack that is fixed, and the union."""
        rows = [(one.attack, one.counted) for one in self.attacks if one.attack in ATTACKS
                and not ATTACKS[one.attack].adaptive]  # fmt: skip
        rows += [(self.union_name, self.union)] if self.union is not None else []
        return [AttackCount(attack=name, k=c.k, n=c.n, unclear=c.unclear) for name, c in rows]
