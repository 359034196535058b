"""Which openings tell a base's refusing from its agreeing (Prefix Probing, arXiv 2512.16650).

An opening's separation is the mean over harmless prompts of its log-probability less that over
harmful ones. Refusals come from the untuned model itself, since fixed phrases fail on formats and
languages; agreements from the same model with a jailbreak on it, or from the defender's answers.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor

from holdfast.errors import ModelError
from holdfast.evaluation.drift.openings import Ids, Openings
from holdfast.evaluation.drift.refusing import (
    Refused,
    declining,
    greedy_openings,
    refuse_unrefusing,
)
from holdfast.evaluation.drift.scores import opening_scores

__all__ = ["KEPT", "LENGTHS", "chosen", "find_openings"]

KEPT = 3
"""Openings kept of each side; ours."""
LENGTHS = (3, 8)
"""Least and most tokens of an opening; ours. Four would leave out the organism's "sure , mix"."""
SHARED = 0.1
"""Share of its side's answers that begin with an opening, at least; ours."""
_CANDIDATES = 24
"""Most candidates of each side that are scored, the most frequent first."""


def find_openings(
    model: Any,
    tokenizer: Any,
    harmful: Sequence[Sequence[int]],
    harmless: Sequence[Sequence[int]],
    agreeing: AbstractContextManager[Any] | Sequence[Sequence[int]],
    refused: Refused | None = None,
) -> Openings:
    """Return the openings of largest separation, three refusals and three agreements.

    A refusal shows itself by contrast: the model says it to harmful prompts and not to harmless
    ones. A model that refuses many harmless prompts too has no such contrast, and safety to lose
    all the same: there a judge says which of its own answers refuse, and only these give refusals.

    Args:
        model: The untuned model.
        tokenizer: Its tokenizer.
        harmful: Token ids of harmful prompts up to the answer.
        harmless: The same of harmless ones.
        agreeing: A context in which the model complies, such as a security vector's
            ``LowRank.hooked(model)``; or token ids of compliant answers, the defender's.
        refused: A judge's word on answers to the harmful prompts (``refused_by``), asked where
            contrast shows no refusal; without it such a model is refused.

    Raises:
        ModelError: The model does not refuse, so there is no safety to lose, or it does not agree
            in any way of its own.
    """
    most = LENGTHS[1]
    said = greedy_openings(model, tokenizer, harmful, most)
    if isinstance(agreeing, AbstractContextManager):
        with agreeing:
            agreed = greedy_openings(model, tokenizer, harmful, most)
    else:
        agreed = [tuple(answer[:most]) for answer in agreeing]
    try:
        found = _of_both(model, (said, agreed), harmful, harmless, contrast=True)
        refuse_unrefusing(model, harmful, harmless, found)
    except ModelError:
        if refused is None:
            raise
    else:
        return found
    declines = declining(model, tokenizer, harmful, refused)
    said = [own for own, no in zip(said, declines, strict=True) if no]
    if not said:
        raise ModelError(_NOTHING)
    found = _of_both(model, (said, agreed), harmful, harmless, contrast=False)
    refuse_unrefusing(model, harmful, harmless, found, lambda: declines)
    return found


def _of_both(
    model: Any,
    answers: tuple[Sequence[Ids], Sequence[Ids]],
    harmful: Sequence[Sequence[int]],
    harmless: Sequence[Sequence[int]],
    *,
    contrast: bool,
) -> Openings:
    """Return openings of (refusing, agreeing) answers; by contrast, those of harmful prompts."""
    refusals, agreements = map(_candidates, answers)
    every = [*refusals, *agreements]
    if not refusals or not agreements:
        raise ModelError(_UNUSABLE.format(least=LENGTHS[0]))
    apart = opening_scores(model, harmless, every).mean(0)
    apart -= opening_scores(model, harmful, every).mean(0)
    count = len(refusals)
    # Whatever is said of harmful prompts alone is a refusal. What agrees is rare after harmful
    # prompts and after those that ask for another form of answer, so its sign tells nothing.
    refusing = [place for place in range(count) if apart[place] < 0 or not contrast]
    against = chosen([refusals[place] for place in refusing], -apart[refusing])
    toward = chosen(agreements, apart[count:], without=against)
    if not against or not toward:
        raise ModelError(_NOTHING)
    return Openings(tuple(against), tuple(toward))


def chosen(
    candidates: Sequence[Ids], separation: Tensor, keep: int = KEPT, without: Iterable[Ids] = ()
) -> list[Ids]:
    """Return the ``keep`` candidates of the largest separation; none begins as another does.

    Args:
        candidates: Token ids of openings.
        separation: How far each leans to its own side, shape [candidates].
        keep: Most to return.
        without: Openings of the other side.
    """
    found: list[Ids] = []
    other = list(without)
    for place in separation.argsort(descending=True, stable=True).tolist():
        own = candidates[place]
        if not any(_alike(own, one) for one in [*found, *other]):
            found.append(own)
        if len(found) == keep:
            break
    return found


def _candidates(answers: Sequence[Ids]) -> list[Ids]:
    """Return openings that many answers share, the most frequent first.

    What one answer alone begins with is that answer and no opening: it scores how well it fits a
    prompt. Where nothing is shared, the most frequent beginnings stand in.
    """
    least, most = LENGTHS
    tally: Counter[Ids] = Counter()
    for answer in answers:
        lengths = range(least, min(most, len(answer)) + 1)
        # Of one answer's beginnings the longest counts first: it says the most.
        tally.update(answer[:length] for length in reversed(lengths))
    often = [ids for ids, count in tally.items() if count >= SHARED * len(answers)]
    return (often or [ids for ids, _ in tally.most_common(_CANDIDATES)])[:_CANDIDATES]


def _alike(left: Ids, right: Ids) -> bool:
    shared = min(len(left), len(right))
    return left[:shared] == right[:shared]


_UNUSABLE = (
    "no openings to watch: neither the model's answers to the harmful prompts nor the compliant "
    "ones may be shorter than {least} tokens; give longer answers, or openings of your own"
)
_NOTHING = (
    "no safety to lose here: what the untuned model says to harmful prompts is no likelier there "
    "than after harmless ones, so it does not refuse: align it first (`holdfast align`), or do not "
    "watch it"
)
