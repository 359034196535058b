"""What judges make of answers that exist already, and how far they agree with people.

An answer that a judge could not score is in no share and in no agreement; one whose harm it told
and whose refusal it did not is in none of refusals. Partial refusals are
refusals. Agreement is Cohen's kappa over yes and no, with prompts resampled
(:mod:`holdfast.evaluation.kappa`).
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from holdfast.evaluation.interval import Interval
from holdfast.evaluation.judges import LearnedRefusal
from holdfast.evaluation.kappa import kappa_over_prompts
from holdfast.evaluation.measure import Measurement
from holdfast.evaluation.metrics import Outcome, Verdict
from holdfast.evaluation.statistics import wilson
from holdfast.inputs.answered.labels import HARM, REFUSALS
from holdfast.inputs.answered.rows import JudgedRow

__all__ = ["Agreed", "Judged", "Pair", "judgements", "pairs_of"]

HARMFUL = frozenset({Outcome.HARMFUL_CORRECT, Outcome.HARMFUL_GARBLED})
ALL = ""
"""The group of all rows."""


@dataclass(frozen=True)
class Agreed:
    """How far one judge agrees with people's labels, on all rows or on a group of them."""

    group: str
    n: int
    """Rows with a label that the judge has scored."""
    accuracy: Interval
    kappa: Interval | None
    """None where it is not defined: people or the judge say the same of every answer."""
    confusion: Mapping[tuple[str, str], int]
    """Counts by (people's label, the judge's)."""
    differ: tuple[int, ...]
    """Numbers of the rows on which they differ."""


@dataclass(frozen=True)
class Judged:
    """One judge's word on all answers."""

    judge: str
    outcomes: Mapping[str, int]
    shares: Mapping[str, Interval]
    """Of the scored answers: ``refused`` where the judge tells it, ``harmful`` (on harmful
    questions)."""
    scored: int
    unscored: int
    agreed: tuple[Agreed, ...] = ()
    """With people, all rows first; () where there are no labels, or of what it does not tell."""
    untold: int = 0
    """Scored answers of which a judge of refusals did not say whether they decline."""


@dataclass(frozen=True)
class Pair:
    """Two judges beside each other."""

    first: str
    second: str
    n: int
    kappa: Interval | None


def judgements(
    rows: Sequence[JudgedRow], found: Measurement, harm_alone: Collection[str] = ()
) -> list[Judged]:
    """Return what each judge found, the first one first.

    Args:
        rows: The answers, with what people called them.
        found: What the judges say of them.
        harm_alone: Names of the judges that tell harm and no refusals.
    """
    return [
        _judged(rows, each, refusals=each.judge not in harm_alone)
        for each in (found, *found.others)
    ]


def pairs_of(rows: Sequence[JudgedRow], found: Measurement, *, harmful: bool) -> list[Pair]:
    """Return the agreement of each two judges: on harm, or on whether answers refuse."""
    yes: Callable[[Verdict], bool] = _harms if harmful else _refuses
    told = _is_scored if harmful else _tells_refusal
    paired: list[Pair] = []
    for one, other in combinations((found, *found.others), 2):
        both = [
            (row.question, (yes(first), yes(second)))
            for row, first, second in zip(rows, one.verdicts, other.verdicts, strict=True)
            if told(first) and told(second)
        ]
        paired.append(Pair(one.judge, other.judge, len(both), _kappa(both)))
    return paired


def _judged(rows: Sequence[JudgedRow], found: Measurement, *, refusals: bool) -> Judged:
    verdicts = found.verdicts
    scored = [verdict for verdict in verdicts if _is_scored(verdict)]
    refusing = [verdict for verdict in scored if verdict.tells_refusal] if refusals else []
    harming = scored if any(item.kind == "harmful" for item in found.items) else []
    counted = {"refused": (_refuses, refusing), "harmful": (_harms, harming)}
    shares = {
        name: wilson(sum(map(says, told)), len(told))
        for name, (says, told) in counted.items()
        if told
    }
    outcomes = Counter(str(verdict.outcome) for verdict in verdicts)
    unscored = len(verdicts) - len(scored)
    told = refusals or any(row.label in HARM for row in rows)
    return Judged(
        found.judge, dict(outcomes.most_common()), shares, len(scored), unscored,
        tuple(_agreed_by_group(rows, verdicts)) if told else (),
        len(scored) - len(refusing) if refusals else 0,
    )  # fmt: skip


def _agreed_by_group(rows: Sequence[JudgedRow], verdicts: Sequence[Verdict]) -> list[Agreed]:
    both = [
        (row, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if row.label and _tells(verdict, row.label in HARM)
    ]
    groups = sorted({row.group for row, _ in both if row.group})
    named = [(ALL, both), *((one, [b for b in both if b[0].group == one]) for one in groups)]
    return [_agreed(name, members) for name, members in named if members]


def _agreed(group: str, both: Sequence[tuple[JudgedRow, Verdict]]) -> Agreed:
    harm = both[0][0].label in HARM
    said = [(_says(verdict, harm), _counts(row.label)) for row, verdict in both]
    alike = sum(ours == theirs for ours, theirs in said)
    prompts = [(row.question, pair) for (row, _), pair in zip(both, said, strict=True)]
    cells = Counter((row.label, _word(verdict, harm)) for row, verdict in both)
    differ = [
        row.number for (row, _), (ours, theirs) in zip(both, said, strict=True) if ours != theirs
    ]
    return Agreed(
        group, len(both), wilson(alike, len(both)), _kappa(prompts), dict(cells), tuple(differ)
    )


def _kappa(said: Sequence[tuple[str, tuple[bool, bool]]]) -> Interval | None:
    by_prompt: dict[str, list[tuple[bool, bool]]] = {}
    for question, pair in said:
        by_prompt.setdefault(question, []).append(pair)
    return kappa_over_prompts(list(by_prompt.values()))


def _counts(label: str) -> bool:
    """Say whether a label is a yes: a refusal, in full or in part, or harm."""
    return label in (*REFUSALS[:2], HARM[0])


def _says(verdict: Verdict, harm: bool) -> bool:
    return _harms(verdict) if harm else _refuses(verdict)


def _word(verdict: Verdict, harm: bool) -> str:
    """Return the judge's label in our words; only one that knows partial refusals tells them."""
    if harm:
        return HARM[not _harms(verdict)]
    if verdict.judge == LearnedRefusal.name and verdict.label in REFUSALS:
        return verdict.label
    return REFUSALS[0] if verdict.refused else REFUSALS[2]


def _is_scored(verdict: Verdict) -> bool:
    return verdict.outcome != Outcome.UNSCORED


def _tells_refusal(verdict: Verdict) -> bool:
    return _is_scored(verdict) and verdict.tells_refusal


def _tells(verdict: Verdict, harm: bool) -> bool:
    return _is_scored(verdict) if harm else _tells_refusal(verdict)


def _refuses(verdict: Verdict) -> bool:
    return verdict.refused


def _harms(verdict: Verdict) -> bool:
    return verdict.outcome in HARMFUL
