"""How many tests were made, and what that means for those that hold."""

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.claims.judge import JudgedClaim, JudgedPaper, JudgedTest
from holdfast.claims.verdicts import HOLDS, OPEN, PART

__all__ = ["CHANCE", "Count", "counted", "multiplicity"]

CHANCE = 0.025
"""How often a test holds at most where nothing is there: one end of a 95 % interval."""
EITHER_SIDE = "architectures"
"""The kind of test that holds at both ends: it says that two models differ, and not which way."""


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
    either_side: int = 0
    """Tests and conditions that hold at both ends of their interval, among the others."""
    claims_either_side: int = 0
    """Claims of which every test is one of these."""

    @property
    def false_claims(self) -> float:
        """Claims that would hold by chance, at most, were none true.

        A claim holds if all its tests do, so no oftener than the rarest of them.
        """
        return CHANCE * (self.claims + self.claims_either_side)

    @property
    def false_tests(self) -> float:
        """Tests that would hold by chance, at most, were there nothing to find; of conditions too.

        Chance does this to a test of a difference where there is none, and to one of a margin
        (equivalence, not worse, bound) where the truth is at the margin.
        """
        return CHANCE * (self.tests + self.conditions + self.either_side)


def counted(judged: Sequence[JudgedPaper]) -> Count:
    """Return how many claims and tests were made, and hold."""
    claims = [c for paper in judged for c in paper.claims if c.verdict != OPEN]
    made = [_made(c.tests) for c in claims]
    provided = [t for c in claims for t in _made(c.provided)]
    tests, conditions = [t.verdict for of in made for t in of], [t.verdict for t in provided]
    both_ends = [t for t in [*provided, *(t for of in made for t in of)] if _is_either(t)]
    return Count(
        claims=len(claims), claims_held=sum(c.verdict == HOLDS for c in claims),
        undecided=sum(map(_undecided, claims)),
        tests=len(tests), tests_held=tests.count(HOLDS),
        conditions=len(conditions), conditions_held=conditions.count(HOLDS),
        either_side=len(both_ends),
        claims_either_side=sum(bool(of) and all(map(_is_either, of)) for of in made),
    )  # fmt: skip


def _made(tests: Sequence[JudgedTest]) -> list[JudgedTest]:
    return [t for t in tests if t.verdict != OPEN]


def _is_either(test: JudgedTest) -> bool:
    return test.test.kind == EITHER_SIDE


def _undecided(claim: JudgedClaim) -> bool:
    tests, conditions = ({t.verdict for t in side} for side in (claim.tests, claim.provided))
    return tests == {HOLDS} and PART in conditions <= {HOLDS, PART}


def multiplicity(judged: Sequence[JudgedPaper]) -> str:
    """Return in words what the number of tests means; '' where none was made."""
    found = counted(judged)
    if not found.tests:
        return ""
    either = (
        f" (1 in {0.5 / CHANCE:.0f} of those that say only that models differ: {found.either_side})"
        if found.either_side
        else ""
    )
    return (
        f"{found.claims} claims could be judged, by {found.tests} tests and {found.conditions} "
        f"conditions, each at {'an' if either else 'one'} end of a 95 % interval that is not "
        f"widened for their number. "
        f"Were nothing there, at most 1 test in {1 / CHANCE:.0f} would hold by chance{either}: "
        f"{found.false_tests:.1f} of the {found.tests + found.conditions}, and "
        f"{found.false_claims:.1f} of the claims, since a claim holds only if all its tests do. "
        f"{found.tests_held + found.conditions_held} tests and {found.claims_held} claims hold; "
        "which of these, if any, chance has made is not known. Of "
        f"{found.undecided} more claims all tests hold and a condition's margin is undecided."
    )
