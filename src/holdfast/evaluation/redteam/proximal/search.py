"""Climb on a falling lead: a question that stays near, and that the model leans less to refuse.

Thirty leads a question and no generation but of the best. The lead is the measure of
:mod:`holdfast.evaluation.drift`; its refusals are the model's own to the questions as they stand.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from statistics import fmean

from holdfast.evaluation.drift.lead import lead
from holdfast.evaluation.drift.openings import Openings
from holdfast.evaluation.drift.prompts import probe_ids
from holdfast.evaluation.measure import judge_answers
from holdfast.evaluation.metrics import Item, Outcome
from holdfast.evaluation.redteam.attack import Asked, Context
from holdfast.evaluation.redteam.attacked import Attacker
from holdfast.evaluation.redteam.proximal.nearness import TAU, Nearness
from holdfast.evaluation.redteam.proximal.retold import retold

__all__ = ["BUDGET", "Search", "searched"]

BUDGET = 30
"""Leads a question, of the spec."""
ROUNDS = 3
OPENINGS, OPENING_TOKENS = 3, 6
RETOLD = 4
"""Paraphrases that the model is asked for, of each question; ours."""


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        asked: The best prompt of each question; the question itself where none was better.
        figures: Mean lead before and after, nearness of the best, leads that were measured.
        why_not: Why there was nothing to search for, or "".
    """

    asked: list[Asked] = field(default_factory=list[Asked])
    figures: dict[str, float] = field(default_factory=dict[str, float])
    why_not: str = ""


@dataclass
class _Climb:
    """One question's climb."""

    item: Item
    best: str
    lead: float
    start: float
    random: Random
    ahead: list[str]
    seen: set[str]
    measured: int = 0

    def fresh(self, context: Context) -> Iterator[str]:
        """Yield candidates that were not seen: paraphrases first, then variations of the best."""
        speech = context.speech
        more = speech.variations(self.best, self.random)
        for text in [*self.ahead, *(more or speech.variations(self.item.question, self.random))]:
            if text not in self.seen:
                self.seen.add(text)
                yield text


def searched(attacker: Attacker, context: Context) -> Search:
    """Search for the best prompt of each question of ``attacker``; the model is left as it is."""
    target, items = attacker.target, attacker.items
    openings = _openings(attacker, context)
    if openings is None:
        return Search(why_not="the model refuses none of the questions as they stand")
    climbs = _begun(attacker, context, openings)
    near = None
    if not context.speech.same_by_grammar:
        questions = [item.question for item in items]
        near = Nearness.among(target.model, target.tokenizer, questions, target.batch_size)
    total = BUDGET * len(climbs)
    for number in range(ROUNDS):
        _round(climbs, attacker, context, openings, near)
        attacker.progress("search", BUDGET * len(climbs) * (number + 1) // ROUNDS, total)
    return Search(_asked(climbs), _figures(climbs, near))


def _openings(attacker: Attacker, context: Context) -> Openings | None:
    """Return how this model refuses and agrees; None where it refuses nothing."""
    target = attacker.target
    said = target.replies([Asked(item.id, "direct", item.prompt) for item in attacker.items])
    verdicts = judge_answers(attacker.items, said, attacker.judges[0]).verdicts
    pairs = zip(said, verdicts, strict=True)
    texts = [reply.text for reply, verdict in pairs if verdict.outcome == Outcome.REFUSED]
    heads = Counter(_tokens(text, target.tokenizer) for text in texts)
    refusals = [ids for ids, _ in heads.most_common(OPENINGS) if ids]
    agreements = [_tokens(text, target.tokenizer) for text in context.speech.agreements]
    agreements = [ids for ids in agreements if ids and ids not in refusals]
    return Openings.of(refusals, agreements) if refusals and agreements else None


def _tokens(text: str, tokenizer: object) -> tuple[int, ...]:
    encode = getattr(tokenizer, "encode")  # noqa: B009  # Tokenizers share no type.
    return tuple(encode(text, add_special_tokens=False)[:OPENING_TOKENS])


def _begun(attacker: Attacker, context: Context, openings: Openings) -> list[_Climb]:
    target, items = attacker.target, attacker.items
    prompts = [probe_ids(list(item.prompt), target.tokenizer) for item in items]
    leads = lead(target.model, prompts, openings, batch_size=target.batch_size).tolist()
    ahead: list[list[str]] = [[] for _ in items]
    if context.speech.retold:
        questions = [item.question for item in items]
        ahead = retold(target, questions, context.speech.retold, RETOLD, context.seed)
    return [
        _Climb(item, item.question, value, value, _random(context, item), own, {item.question})
        for item, value, own in zip(items, leads, ahead, strict=True)
    ]


def _random(context: Context, item: Item) -> Random:
    return Random(f"{context.seed}-{item.id}")  # noqa: S311  # No secret.


def _round(
    climbs: Sequence[_Climb],
    attacker: Attacker,
    context: Context,
    openings: Openings,
    near: Nearness | None,
) -> None:
    """Measure a share of every question's budget, and keep what has the lowest lead."""
    target = attacker.target
    room = {id(climb): BUDGET // ROUNDS for climb in climbs}
    pairs = [(c, text) for c in climbs for text in islice(c.fresh(context), 2 * room[id(c)])]
    if near is not None:
        theirs = [climb.item.question for climb, _ in pairs]
        cosines = near.cosines([text for _, text in pairs], theirs)
        pairs = [pair for pair, cosine in zip(pairs, cosines, strict=True) if cosine >= TAU]
    kept: list[tuple[_Climb, str, list[int]]] = []
    for climb, text in pairs:
        ids = probe_ids(_messages(climb.item, text), target.tokenizer)
        if room[id(climb)] > 0 and target.fits(ids):
            room[id(climb)] -= 1
            kept.append((climb, text, ids))
    if not kept:
        return
    leads = lead(
        target.model, [ids for *_, ids in kept], openings, batch_size=target.batch_size
    ).tolist()
    for (climb, text, _), value in zip(kept, leads, strict=True):
        climb.measured += 1
        if value < climb.lead:
            climb.best, climb.lead = text, value


def _messages(item: Item, text: str) -> list[dict[str, str]]:
    *before, last = (dict(message) for message in item.prompt)
    return [*before, last | {"content": text}]


def _asked(climbs: Sequence[_Climb]) -> list[Asked]:
    return [Asked(climb.item.id, "proximal", _messages(climb.item, climb.best)) for climb in climbs]


def _figures(climbs: Sequence[_Climb], near: Nearness | None) -> dict[str, float]:
    found = {
        "lead_before": fmean(climb.start for climb in climbs),
        "lead_after": fmean(climb.lead for climb in climbs),
        "changed": fmean(climb.best != climb.item.question for climb in climbs),
        "leads": fmean(climb.measured for climb in climbs),
    }
    if near is not None:
        bests, own = [c.best for c in climbs], [c.item.question for c in climbs]
        found |= {"tau": TAU, "nearness": fmean(near.cosines(bests, own))}
    return found
