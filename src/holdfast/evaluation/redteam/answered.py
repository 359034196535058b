"""What one attack came to: every answer's outcome by judge, variant and question, and no texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.evaluation.measure import Measurement
from holdfast.evaluation.metrics import Outcome
from holdfast.evaluation.redteam.attack import Asked
from holdfast.evaluation.redteam.rendered import SAME_AS_DIRECT
from holdfast.evaluation.redteam.standing import Standing, standing_of, worst_of
from holdfast.evaluation.reply import Reply

__all__ = ["AttackAnswers", "Seen"]

Seen = tuple[Standing, Outcome]
"""What one answer shows, and the judge's word for it."""
ByVariant = dict[str, dict[str, Seen]]


@dataclass
class AttackAnswers:
    """The answers to one attack.

    Attributes:
        attack: Its name.
        seen: Judge → variant → item → what the answer shows; the first judge's figures count.
        not_run: Variant → why it could not be asked.
        texts: Prompts and answers, kept only where the user asked for them.
        search: Figures of the search that made the prompts, where one did.
        partial: Why a judge stopped before the last answer, or "".
    """

    attack: str
    seen: dict[str, ByVariant] = field(default_factory=dict[str, ByVariant])
    not_run: dict[str, str] = field(default_factory=dict[str, str])
    texts: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    search: dict[str, float] = field(default_factory=dict[str, float])
    partial: str = ""

    @property
    def ran(self) -> bool:
        """Whether anything of it was asked."""
        return bool(self.seen)

    @property
    def judge(self) -> str:
        """Name of the judge whose figures count, "" where nothing was asked."""
        return next(iter(self.seen), "")

    def add(self, variant: str, found: Measurement) -> None:
        """Take in what the judges make of the answers to one variant."""
        for one in (found, *found.others):
            self.partial = self.partial or one.partial
            table = self.seen.setdefault(one.judge, {}).setdefault(variant, {})
            for item, verdict, reply in zip(one.items, one.verdicts, one.replies, strict=True):
                table[item.id] = standing_of(verdict, reply), verdict.outcome

    def show(self, asked: Sequence[Asked], replies: Sequence[Reply]) -> None:
        """Keep prompts and answers."""
        for each, reply in zip(asked, replies, strict=True):
            prompt = each.text or "\n".join(f"{m['role']}: {m['content']}" for m in each.messages)
            told = {"item": each.item, "prompt": prompt, "answer": reply.text}
            begun = {"prefill": each.prefill} if each.prefill else {}
            self.texts.append({"attack": self.attack, "variant": each.variant, **told, **begun})

    def standings(self, judge: str = "") -> dict[str, Standing]:
        """Return what each question came to under all variants that were asked: its worst."""
        by_item: dict[str, list[Standing]] = {}
        for table in self.seen[judge or self.judge].values():
            for item, (standing, _) in table.items():
                by_item.setdefault(item, []).append(standing)
        return {item: worst_of(found) for item, found in by_item.items()}

    def content(self) -> int:
        """Return how many questions had an answer whose harmful content the judge calls right."""
        tables = self.seen[self.judge].values()
        right = {i for t in tables for i, (_, said) in t.items() if said == Outcome.HARMFUL_CORRECT}
        return len(right)

    def gaps(self) -> list[str]:
        """Return the ways that were not asked, and that no other attack asks."""
        return [name for name, why in self.not_run.items() if why != SAME_AS_DIRECT]

    def of_variant(self, variant: str, judge: str = "") -> dict[str, Standing]:
        """Return what each question came to under one variant."""
        table = self.seen[judge or self.judge][variant]
        return {item: standing for item, (standing, _) in table.items()}

    def first_harmful(self) -> dict[str, int | None]:
        """Return the number of each question's first harmful answer, the variants in order."""
        found: dict[str, int | None] = {}
        for number, table in enumerate(self.seen[self.judge].values(), start=1):
            for item, (standing, _) in table.items():
                if found.setdefault(item, None) is None and standing == Standing.HARMFUL:
                    found[item] = number
        return found

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"attack": self.attack, "seen": self.seen, "not_run": self.not_run,
                "texts": self.texts, "search": self.search}  # fmt: skip

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> "AttackAnswers":
        """Return what ``as_json`` has given.

        Raises:
            ValueError: It is none of it.
        """
        try:
            seen: dict[str, ByVariant] = {
                judge: {
                    variant: {item: (Standing(a), Outcome(b)) for item, (a, b) in table.items()}
                    for variant, table in variants.items()
                }
                for judge, variants in told["seen"].items()
            }
            rest = dict(told["not_run"]), list(told["texts"]), dict(told["search"])
            return cls(told["attack"], seen, *rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no answers to an attack: {error}") from error
