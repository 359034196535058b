"""How many tests were made, and what that means for those that hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.claims.judge import JudgedClaim, JudgedPaper
from holdfast.claims.verdicts import HOLDS, OPEN, PART

__all__ = ["CHANCE", "Count", "counted", "multiplicity"]

CHANCE = 0.025
"""How often a test holds at most where nothing is there: one end of a 95 % interval."""


@dataclass(frozen=True)
class Count:
    """Claims and their tests, conditions among them: how many were made, how many hold."""

    claims: int
    """Claims of which some test could be made."""
    claims_held: int
    undecided: int
    """Claims that hold in part because a condition's margin is undecided, for no other reason."""
    tests: int
    tests_held: int
    conditions: int
    conditions_held: int

    @property
    def false_claims(self) -> float:
        """Claims that would hold by chance, at most, were none true.

        A claim holds if all its tests do, so no oftener than one of them.
        """
        return CHANCE * self.claims

    @property
    def false_tests(self) -> float:
        """Tests that would hold by chance, at most, were there nothing to find; of conditions too.

        Chance does this to a test of a difference where there is none, and to one of a margin
        (equivalence, not worse, bound) where the truth is at the margin.
        """
        return CHANCE * (self.tests + self.conditions)


def counted(judged: Sequence[JudgedPaper]) -> Count:
    """Return how many claims and tests were made, and hold."""
    claims = [c for paper in judged for c in paper.claims if c.verdict != OPEN]
    tests = [t.verdict for c in claims for t in c.tests if t.verdict != OPEN]
    conditions = [t.verdict for c in claims for t in c.provided if t.verdict != OPEN]
    return Count(
        claims=len(claims), claims_held=sum(c.verdict == HOLDS for c in claims),
        undecided=sum(map(_undecided, claims)),
        tests=len(tests), tests_held=tests.count(HOLDS),
        conditions=len(conditions), conditions_held=conditions.count(HOLDS),
    )  # fmt: skip


def _undecided(claim: JudgedClaim) -> bool:
    tests, conditions = ({t.verdict for t in side} for side in (claim.tests, claim.provided))
    return tests == {HOLDS} and PART in conditions <= {HOLDS, PART}


def multiplicity(judged: Sequence[JudgedPaper]) -> str:
    """Return in words what the number of tests means; '' where none was made."""
    found = counted(judged)
    if not found.tests:
        return ""
    return (
        f"{found.claims} claims could be judged, by {found.tests} tests and {found.conditions} "
        f"conditions, each at one end of a 95 % interval that is not widened for their number. "
        f"Were nothing there, at most 1 test in {1 / CHANCE:.0f} would hold by chance: "
        f"{found.false_tests:.1f} of the {found.tests + found.conditions}, and "
        f"{found.false_claims:.1f} of the claims, since a claim holds only if all its tests do. "
        f"{found.tests_held + found.conditions_held} tests and {found.claims_held} claims hold; "
        "which of these, if any, chance has made is not known. Of "
        f"{found.undecided} more claims all tests hold and a condition's margin is undecided."
    )
