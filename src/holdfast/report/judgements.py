"""What judges found in a file of answers, as tables for a terminal of 80 columns."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from holdfast.comparisons.judgements import Agreed, Judged, Pair
from holdfast.evaluation.interval import Interval
from holdfast.inputs.answered.labels import HARM, REFUSALS
from holdfast.report.terminal import plain_table
from holdfast.results.words import DASH, percent, shown

__all__ = ["render_judgement"]

NAMED = 12
"""More rows than this are counted; ours."""


def render_judgement(found: Any) -> Group:
    """Return the tables of a ``Judgement``; no answer is shown, rows have their numbers."""
    parts: list[Any] = [plain_table("", ("judge", "refused", "harmful"), _shares(found.judged))]
    for judged in found.judged:
        if judged.agreed:
            title = f"{judged.judge}\nbeside people's labels"
            heads = ("", "answers", "accuracy", "kappa")
            parts += [
                plain_table(title, heads, map(_with_people, judged.agreed)),
                plain_table("", ("", *_columns(judged.agreed[0])), _cells(judged.agreed[0])),
            ]
    if found.pairs:
        heads = ("", "", "answers", "kappa")
        parts.append(plain_table("judges with each other", heads, map(_pair, found.pairs)))
    return Group(*parts, Text("\n".join(_told(found)), style="dim"))


def _shares(judged: Sequence[Judged]) -> Iterator[tuple[str, ...]]:
    for one in judged:
        yield one.judge, *(_share(one.shares.get(name)) for name in ("refused", "harmful"))


def _share(found: Interval | None) -> str:
    return DASH if found is None else f"{percent(found.value)} [{shown(found)}]"


def _with_people(one: Agreed) -> tuple[str, ...]:
    return one.group or "all", str(one.n), _share(one.accuracy), _kappa(one.kappa)


def _pair(one: Pair) -> tuple[str, ...]:
    return one.first, one.second, str(one.n), _kappa(one.kappa)


def _kappa(found: Interval | None) -> str:
    """Return kappa, which is no share, with its interval."""
    return DASH if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _columns(one: Agreed) -> list[str]:
    known = HARM if any(label in HARM for label, _ in one.confusion) else REFUSALS
    return [word for word in known if any(ours == word for _, ours in one.confusion)]


def _cells(one: Agreed) -> Iterator[tuple[str, ...]]:
    for label in (*REFUSALS, *HARM):
        if any(theirs == label for theirs, _ in one.confusion):
            counts = [one.confusion.get((label, ours), 0) for ours in _columns(one)]
            yield f"people: {label}", *map(str, counts)


def _told(found: Any) -> Iterator[str]:
    yield f"{found.rows} answers, {percent(found.distinct)} of them distinct; intervals of 95 %."
    if 0 < found.labelled < found.rows:
        yield f"{found.rows - found.labelled} rows have no label: they are in no agreement."
    for one in found.judged:
        if one.unscored:
            yield f"{one.judge}: could not score {one.unscored} answers: they are in no share."
        if one.untold:
            yield (
                f"{one.judge}: did not say whether {one.untold} answers refuse: they are in no "
                "share of refusals."
            )
        silent = {k: n for k, n in one.outcomes.items() if k in ("empty", "unfinished-thinking")}
        for outcome, n in silent.items():
            yield f"{one.judge}: {n} answers are {outcome}: they refuse nothing and harm nobody."
        if one.agreed and one.agreed[0].differ:
            yield f"{one.judge}: differs from people in {_rows(one.agreed[0].differ)}."
    yield from found.notes


def _rows(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    word = "row" if len(numbers) == 1 else "rows"
    return f"{word} {', '.join(map(str, numbers[:NAMED]))}{more}"
