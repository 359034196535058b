"""``results/claims`` under the rules and claims of today, where a bench's answers are gone.

A published verdict keeps the statistic and interval that it was made from. Rules of one interval
(not worse) are applied to them again; claims that a given result can judge with as many arms and
more seeds, or that are new, are judged on it; all else stays as it was judged.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.claims.files import Claim, NotWorse, Paper, load_claims, named_in
from holdfast.claims.judge import (
    JudgedClaim,
    JudgedPaper,
    JudgedTest,
    judge,
    load_judged,
    write_claims,
)
from holdfast.claims.multiplicity import multiplicity
from holdfast.claims.trial import LOWER_IS_BETTER
from holdfast.claims.verdicts import Finding, combined, of_margin
from holdfast.claims.words import claim_reason, test_reason
from holdfast.evaluation.interval import Interval
from holdfast.results.result import RunResult

ROOT = Path(__file__).resolve().parent.parent


def restated(old: JudgedPaper, paper: Paper, results: Sequence[RunResult]) -> JudgedPaper:
    """Return a paper's claims as they are judged today."""
    known = {claim.id: claim for claim in old.claims}
    fresh = judge(results, [paper])[0] if results else None
    anew = {claim.id: claim for claim in fresh.claims} if fresh else {}
    found: list[JudgedClaim] = []
    for claim in paper.claims:
        mine, theirs = known.get(claim.id), anew.get(claim.id)
        if theirs is not None and (mine is None or better(theirs, mine, claim)):
            about = theirs.measured_on or (fresh.measured_on if fresh else None)
            found.append(theirs.model_copy(update={"measured_on": about}))
        elif mine is not None:
            found.append(by_todays_rules(mine, paper, claim))
    return old.model_copy(update={"claims": found})


def better(theirs: JudgedClaim, mine: JudgedClaim, claim: Claim) -> bool:
    """Tell whether all arms of a claim were there, where one was missing, or more seeds."""
    wanted = set(named_in(claim))
    were, are = ({arm.name for arm in judged.arms} >= wanted for judged in (mine, theirs))
    return are and (not were or fewest(theirs) > fewest(mine))


def fewest(claim: JudgedClaim) -> int:
    """Return the fewest seeds of its arms."""
    return min((len(arm.seeds) for arm in claim.arms), default=0)


def by_todays_rules(old: JudgedClaim, paper: Paper, claim: Claim) -> JudgedClaim:
    """Return a claim with its margins judged by their intervals."""
    labels = {name: paper.arms[name].label for name in named_in(claim)}
    labels |= {arm.name: arm.label for arm in old.arms}
    tests, provided = ([(t, finding(t)) for t in side] for side in (old.tests, old.provided))
    ways = max(1, len(tests) // len(claim.tests))
    each = [
        Finding(combined(of_way(tests, n, ways), of_way(provided, n, ways)), "")
        for n in range(ways)
    ]
    told = [[(said(t, f, labels), f) for t, f in side] for side in (tests, provided)]
    sides = [
        [
            t.model_copy(update={"verdict": f.verdict, "reason": reason})
            for (t, f), (reason, _) in zip(side, words, strict=True)
        ]
        for side, words in zip((tests, provided), told, strict=True)
    ]
    changes: dict[str, Any] = {
        "tests": sides[0], "provided": sides[1], "statement": claim.statement,
        "verdict": combined(each), "reason": claim_reason(*told),
    }  # fmt: skip
    return old.model_copy(update=changes)


def of_way(side: Sequence[tuple[JudgedTest, Finding]], number: int, ways: int) -> list[Finding]:
    """Return the findings of one way to read the claim's arms."""
    size = len(side) // ways
    return [found for _, found in side[number * size : (number + 1) * size]]


def finding(test: JudgedTest) -> Finding:
    """Return what a test finds: by today's rule for margins, else what it was found to."""
    if test.value is None or test.low is None or test.high is None:
        return Finding(test.verdict, test.reason.partition(": ")[2], seeds=test.seeds)
    gap = Interval(test.value, test.low, test.high)
    rule = test.reason.rpartition(" (")[2].removesuffix(")")
    verdict = test.verdict
    if isinstance(test.test, NotWorse):
        worse = gap if test.test.figure in LOWER_IS_BETTER else -gap
        verdict, rule = of_margin(worse, test.test.margin)
    return Finding(verdict, rule, gap, test.seeds)


def said(test: JudgedTest, found: Finding, labels: dict[str, str]) -> str:
    """Return a test's reason: anew where its rule was applied anew."""
    anew = isinstance(test.test, NotWorse) and found.statistic is not None
    return test_reason(test.test, found, labels) if anew else test.reason


def main() -> None:
    """Restate the published claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "results", type=Path, nargs="*", help="result.json of benches, with answers"
    )
    parser.add_argument("--claims", type=Path, default=ROOT / "results" / "claims")
    given = parser.parse_args()
    results = [RunResult.load(path) for path in given.results]
    papers = {paper.paper: paper for paper in load_claims()}
    judged = [restated(old, papers[old.paper], results) for old in load_judged(given.claims)]
    write_claims(judged, given.claims)
    print(multiplicity(judged))


if __name__ == "__main__":
    main()
