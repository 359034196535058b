"""A choice that is checked: what it is chosen from, by which limits, and on which prompts."""

from dataclasses import dataclass
from typing import Any

from holdfast.bench.bench import Bench
from holdfast.bench.choosing.candidates import Field
from holdfast.bench.choosing.prompts.division import CERTIFY, SEARCH, Division, divided
from holdfast.bench.choosing.searching.search import Rules, Searched, refuse_budget
from holdfast.bench.choosing.settle import refuse_too_few
from holdfast.errors import ConfigError
from holdfast.evaluation.limits import delta_at

__all__ = ["Choosing", "prepared_choice"]


@dataclass(frozen=True)
class Choosing:
    """A checked choice: nothing has run yet."""

    field: Field
    rules: Rules
    division: Division
    delta: float
    """Error of all looks at the certification prompts together."""

    @property
    def bench(self) -> Bench:
        """What the folder belongs to."""
        cells = [self.division.of(one.cell, SEARCH) for one in self.field.candidates]
        return Bench(self.field.recipe, cells, "choose")

    def identity(self, searched: Searched) -> list[Any]:
        """Return what a look at the certification prompts is made of."""
        keys = [self.division.of(one.cell, CERTIFY).key for one in searched.order]
        return [keys, [str(one) for one in self.rules.requirements], self.rules.confidence]

    def counts(self, part: str) -> dict[str, int]:
        """Return how many questions of each kind a part has."""
        return self.division.counts(part, self.field.plain.cell)


def prepared_choice(field: Field, rules: Rules) -> Choosing:
    """Divide the prompts and check that a claim can come of it.

    Raises:
        ConfigError: No limit is given, the confidence is none, the budget is too small, or a limit
            cannot pass on so few prompts.
    """
    if not rules.requirements:
        raise ConfigError("`require` is missing: name at least one limit, such as hs<=.05")
    if not 0 < rules.confidence < 1:
        raise ConfigError(
            f"`confidence={rules.confidence:g}` is out of range, expected above 0 and below 1"
        )
    if rules.attacks and not any(one.metric == "hs" for one in rules.requirements):
        raise ConfigError(
            f"`attacks={','.join(rules.attacks)}` are what the limit on hs is held under, and "
            "there is none: add hs<=.05, or leave `attacks` out"
        )
    refuse_budget(field, rules)
    found = Choosing(
        field,
        rules,
        divided(field.plain.cell, rules.seed, attacks=rules.attacks),
        round(1 - rules.confidence, 12),
    )
    refuse_too_few(rules.requirements, found.counts(CERTIFY), delta_at(1, found.delta))
    return found
