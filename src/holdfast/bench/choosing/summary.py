"""What a search and a certification come to: the record, with its statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from holdfast.bench.choosing.held import Runs
from holdfast.bench.choosing.prepared import Choosing
from holdfast.bench.choosing.prompts.division import CERTIFY, SEARCH
from holdfast.bench.choosing.record import ChooseResult, Tested
from holdfast.bench.choosing.searching.search import Searched
from holdfast.bench.choosing.settle import settles
from holdfast.bench.choosing.statement import nothing_passed, scope_of, statement_of
from holdfast.results.provenance import versions

__all__ = ["Certified", "result_of"]


@dataclass(frozen=True)
class Certified:
    """What came of one look at the certification prompts."""

    tested: Sequence[Tested]
    runs: Runs
    look: int
    delta: float
    """Error that the look may spend."""

    @property
    def chosen(self) -> Tested | None:
        """The cheapest that passed."""
        passed = [one for one in self.tested if one.passed]
        return min(passed, key=lambda one: one.cost) if passed else None


def result_of(
    given: Choosing, searched: Searched, found: Certified, seconds: float
) -> ChooseResult:
    """Return the record of a whole choice."""
    rules, chosen, counts = given.rules, found.chosen, given.counts(CERTIFY)
    asked = next(iter(found.runs.values()), None)
    judge, decoding = (asked.judge, asked.decoding) if asked else ("", {})
    return ChooseResult(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=given.field.plain.cell.subject.name,
        recipe=given.field.recipe,
        requirements=[str(one) for one in rules.requirements],
        confidence=rules.confidence,
        look=found.look,
        delta=found.delta,
        budget=rules.budget,
        spent=searched.spent,
        split_seed=rules.seed,
        search=given.counts(SEARCH),
        certify=counts,
        left_out=given.division.left_out,
        prompts=given.division.named(CERTIFY),
        attacks=list(rules.attacks),
        judge=judge,
        decoding=dict(decoding),
        candidates={one.name: one.cost for one in given.field.candidates},
        rungs=searched.rungs,
        order=[one.name for one in searched.order],
        tested=list(found.tested),
        chosen=chosen and chosen.name,
        statement=_said(given, found),
        scope=scope_of(given, counts, judge, decoding),
        settles=[] if chosen else _missing(given, found),
        warnings=[*given.field.notes, *searched.lost],
        versions=versions(),
        seconds=seconds,
    )


def _said(given: Choosing, found: Certified) -> str:
    needs, sure = given.rules.requirements, given.rules.confidence
    if found.chosen is None:
        return nothing_passed(found.tested, needs, sure)
    return statement_of(found.chosen, needs, sure, given.rules.attacks)


def _missing(given: Choosing, found: Certified) -> list[str]:
    """Return what would settle the limits of the first that failed."""
    if not found.tested:
        return []
    last = found.tested[-1]
    candidate = next(one for one in given.field.candidates if one.name == last.name)
    return settles(last, candidate, found.delta)
