"""Ask one attack's prompts of a model, and let the judges read the answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from holdfast.evaluation.judges.protocol import Judge
from holdfast.evaluation.measure import judge_answers
from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.attack import Asked, Attack
from holdfast.evaluation.redteam.standing import Standing
from holdfast.evaluation.redteam.target import Target

__all__ = ["Attacker", "Told"]

Told = Callable[[str, int, int], None]
"""Called with (attack, prompts answered so far, most prompts there are)."""


def _untold(_: str, __: int, ___: int, /) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Attacker:
    """Asks attacks of one model.

    Attributes:
        target: The model.
        items: The harmful questions, by whose own words every answer is judged.
        judges: The first one's figures count.
        progress: Called as answers come.
        show: Keep prompts and answers in what is returned.
    """

    target: Target
    items: Sequence[Item]
    judges: Sequence[Judge]
    progress: Told = _untold
    show: bool = False

    def ask(self, attack: Attack, asked: Sequence[Asked]) -> AttackAnswers:
        """Return the answers to an attack; what cannot be asked is named and left out.

        Of an attack that stops at a harmful answer the first judge alone decides, and reads.
        """
        found = AttackAnswers(attack.name)
        variants = _grouped(asked)
        for name in list(variants):
            if why := self.target.why_not(variants[name]):
                found.not_run[name] = why
                del variants[name]
        total, done = sum(map(len, variants.values())), 0
        self.progress(attack.name, 0, total)
        for names in _rounds(list(variants)) if attack.until_harmful else [list(variants)]:
            still = _unbroken(found) if attack.until_harmful else None
            now = [e for n in names for e in variants[n] if still is None or e.item in still]
            self._answered(found, now, (done, total), 1 if attack.until_harmful else None)
            done += sum(len(variants[name]) for name in names)
            self.progress(attack.name, done, total)
        return found

    def _answered(
        self,
        found: AttackAnswers,
        asked: Sequence[Asked],
        place: tuple[int, int],
        readers: int | None,
    ) -> None:
        """Add the answers to some prompts, read by the first ``readers`` judges."""
        done, total = place
        said = self.target.replies(
            asked, lambda n, _: self.progress(found.attack, min(done + n, total), total)
        )
        by_id = {item.id: item for item in self.items}
        replies = dict(zip(((e.variant, e.item) for e in asked), said, strict=True))
        for name, own in _grouped(asked).items():
            items = [by_id[each.item] for each in own]
            answers = [replies[name, each.item] for each in own]
            found.add(name, judge_answers(items, answers, list(self.judges)[:readers]))
            if self.show:
                found.show(own, answers)


def _grouped(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    found: dict[str, list[Asked]] = {}
    for each in asked:
        found.setdefault(each.variant, []).append(each)
    return found


def _unbroken(found: AttackAnswers) -> set[str] | None:
    """Return the questions that no earlier round had answered harmfully; None before the first."""
    if not found.ran:
        return None
    return {item for item, one in found.standings().items() if one != Standing.HARMFUL}


def _rounds(variants: Sequence[str]) -> list[list[str]]:
    """Return the variants in rounds that double, so that few prompts follow a harmful answer."""
    rounds: list[list[str]] = []
    start, size = 0, 1
    while start < len(variants):
        rounds.append(list(variants[start : start + size]))
        start, size = start + size, start + size
    return rounds
