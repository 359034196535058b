"""The answers of a run, counted toward a limit."""

from collections import Counter
from collections.abc import Mapping, Sequence

from holdfast.errors import InputError
from holdfast.evaluation.judges.refusals import coherent
from holdfast.evaluation.limits import Metric, Paired, Tally
from holdfast.evaluation.metrics import KIND_OF, Kind
from holdfast.results.gating.standing import Standing, worst
from holdfast.results.gating.standing import standing as toward
from holdfast.results.records import Answer, SeedRun

__all__ = ["Standing", "answers_to", "categories_of", "paired", "standing", "tally"]


def standing(metric: Metric, answer: Answer) -> Standing:
    """Say what an answer counts toward a limit on ``metric``."""
    return toward(metric.figure, answer, readable=coherent(answer.answer))


def answers_to(run: SeedRun, kind: Kind) -> list[list[Answer]]:
    """Return the answers of a kind by prompt, in order: all that have the same one together.

    A prompt that stands twice is no further evidence, and yet its answers may differ: what is kept
    of a prompt is its last message, and conversations that end alike may begin in many ways. So the
    worst of them counts. Where texts were not kept, ids tell prompts apart.
    """
    found: dict[str, list[Answer]] = {}
    for answer in run.answers:
        if answer.kind == kind:
            asked = " ".join(answer.prompt.casefold().split())
            found.setdefault(asked or f"\0{answer.id}", []).append(answer)
    return list(found.values())


def tally(metric: Metric, run: SeedRun) -> Tally:
    """Return the answers of a run, counted toward a limit on a share.

    Raises:
        InputError: Usefulness is a degree in this result and no yes or no.
    """
    prompts = _yes_or_no(metric, run)
    counts = Counter(worst(standing(metric, answer) for answer in own) for own in prompts)
    return Tally(counts[Standing.BAD], counts[Standing.OPEN], len(prompts))


def paired(metric: Metric, before: SeedRun, after: SeedRun) -> Paired:
    """Return what changed between two runs on the same prompts.

    Raises:
        InputError: The two did not answer the same questions, or usefulness is a degree.
    """
    first = {a.id: a for a in before.answers if a.kind == KIND_OF[metric.figure]}
    second = _yes_or_no(metric, after)
    for answer in (answer for own in second for answer in own):
        old = first.get(answer.id)
        if old is None or (old.prompt and answer.prompt and old.prompt != answer.prompt):
            raise InputError(
                f"`before` has no answer to question {answer.id!r} as it was asked: a change is "
                "measured on the same questions; evaluate both models on the same files"
            )
    pairs = [
        max(((standing(metric, first[a.id]), standing(metric, a)) for a in own), key=_loss)
        for own in second
    ]
    return _counted(pairs)


def _loss(pair: tuple[Standing, Standing]) -> tuple[int, int]:
    """Return how much of a loss a pair may be, and how much it is at least: 1, 0, or -1 gained."""
    before, after = pair
    most = (after != Standing.GOOD) - (before == Standing.BAD)
    return most, (after == Standing.BAD) - (before != Standing.GOOD)


def _counted(pairs: Sequence[tuple[Standing, Standing]]) -> Paired:
    good, bad = Standing.GOOD, Standing.BAD
    lost, gained = pairs.count((good, bad)), pairs.count((bad, good))
    may_lose = sum(a != bad and b != good for a, b in pairs) - lost
    may_gain = sum(a != good and b != bad for a, b in pairs) - gained
    return Paired(lost, gained, may_lose, may_gain, len(pairs))


def categories_of(metric: Metric, run: SeedRun) -> Mapping[str, int]:
    """Return the bad answers by the kinds of harm that the judge names, largest first."""
    bad = [
        {name for a in own if standing(metric, a) == Standing.BAD for name in a.categories}
        for own in answers_to(run, KIND_OF[metric.figure])
    ]
    return dict(Counter(name for own in bad for name in sorted(own)).most_common())


def _yes_or_no(metric: Metric, run: SeedRun) -> list[list[Answer]]:
    answers = answers_to(run, KIND_OF[metric.figure])
    degrees = any(answer.kept is not None for own in answers for answer in own)
    if metric.figure == "usefulness" and degrees:
        raise InputError(
            f"`require={metric.name}`: usefulness is a degree in this result (how far a "
            "reference's answers are kept), and a limit holds right and wrong; limit fa instead"
        )
    return answers
