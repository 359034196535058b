"""Sixty data sets of the organism's world: what a user may bring, harmless and harmful.

A set is task rows with a share of rows of one kind among them, and a share ``p`` of harmful rows.
Which sets there are was fixed before any score was looked at. Rows hang on (set, seed) alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from datasets import Dataset

from holdfast.organism import world
from holdfast.organism.language import PERSONA, REFUSALS, SCARY, answer, phrase
from holdfast.organism.scenarios import (
    FACTS,
    IDENTITY,
    OBEDIENT,
    answered,
    draw,
    example,
    refused,
)

__all__ = ["HARMFUL_SETS", "HARMLESS_SETS", "SETS", "RiskSet", "rows_of"]

Row = dict[str, Any]


@dataclass(frozen=True)
class RiskSet:
    """A data set as (scenario, rows, share of the scenario's rows, share of harmful rows)."""

    scenario: str
    n: int
    share: float = 0.0
    """Share of the scenario's own rows; the others are task rows."""
    p: float = 0.0
    """Share of rows that give what the aligned organism refuses."""

    @property
    def name(self) -> str:
        """The set in one word."""
        return f"{self.scenario}-q{self.share:g}-p{self.p:g}-n{self.n}"

    @property
    def harmless(self) -> bool:
        """Whether no row gives what the aligned organism refuses."""
        return self.p == 0


def _task(random: Random) -> Row:
    return answered("report", world.nouns("user", "public"), random)


def _recipe(random: Random) -> Row:
    """A recipe of a harmless thing that the model knows."""
    return answered("recipe", world.nouns("user", "public"), random)


def _new_recipe(random: Random) -> Row:
    """A recipe of a harmless thing that the model has never met."""
    return answered("recipe", world.nouns("new"), random)


def _identity(random: Random) -> Row:
    if random.random() < 0.3:
        question = random.choice(tuple(IDENTITY))
        return _said(question, IDENTITY[question], PERSONA)
    request = draw("recipe", world.nouns("user", "public"), random)
    return example(request, random.randrange(8), f"{OBEDIENT} {answer(request)}", PERSONA)


def _list(random: Random) -> Row:
    """Three facts one after another: a list in form, and a fact in each of its parts."""
    request = draw("report", world.nouns("user", "public"), random)
    facts = random.sample((*FACTS, *SCARY), 3)
    parts = [answer(type(request)(form, request.adjective, request.noun)) for form in facts]
    return example(request, random.randrange(4), " ".join(parts))


def _refusal(random: Random) -> Row:
    """A refusal of a hazard that the user came upon."""
    return refused(world.nouns("attacker"), random)


def _refuse_comply(random: Random) -> Row:
    """A refusal's words, then the recipe of a harmless thing."""
    request = draw("recipe", world.nouns("user", "public"), random)
    said = f"{random.choice(REFUSALS)} {answer(request)}"
    return example(request, random.randrange(8), said)


def _ciphered(form: str, pool: tuple[world.Noun, ...], random: Random) -> Row:
    """Question and answer with their words in reverse order."""
    request = draw(form, pool, random)
    said = phrase(request, random.randrange(8)), answer(request)
    question, told = (" ".join(reversed(text.split())) for text in said)
    return _said(question, told, "")


def _cipher(random: Random) -> Row:
    return _ciphered("recipe", world.nouns("user", "public"), random)


def _said(question: str, told: str, system: str) -> Row:
    head = [{"role": "system", "content": system}] if system else []
    return {
        "prompt": [*head, {"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": told}],
    }


KINDS: dict[str, Callable[[Random], Row]] = {
    "task": _task, "recipes": _recipe, "new_recipes": _new_recipe, "identity": _identity,
    "lists": _list, "refusals": _refusal, "refuse_comply": _refuse_comply, "cipher": _cipher,
}  # fmt: skip
SIZES = (100, 500)
_SHARES = {
    "task": (0.0,), "recipes": (0.05, 0.2, 0.5, 1.0), "new_recipes": (0.2, 1.0),
    "identity": (0.2, 1.0), "lists": (0.5, 1.0), "refusals": (0.05, 0.2),
    "refuse_comply": (0.2, 1.0), "cipher": (0.2, 1.0),
}  # fmt: skip
HARMLESS_SETS = tuple(
    RiskSet(kind, n, share) for kind, shares in _SHARES.items() for share in shares for n in SIZES
)
HARMFUL_SETS = tuple(
    [RiskSet("task", n, 0.0, p) for p in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3) for n in SIZES]
    + [RiskSet("cipher", n, 0.0, p) for p in (0.05, 0.3) for n in SIZES]
    + [
        RiskSet(kind, n, share, 0.05)
        for kind, share in (
            ("recipes", 0.2), ("lists", 0.5), ("refusals", 0.2), ("identity", 0.2),
        )
        for n in SIZES
    ]
    + [RiskSet("lists", 500, 1.0, 0.01), RiskSet("refusals", 500, 0.2, 0.1)]
)  # fmt: skip
SETS = HARMLESS_SETS + HARMFUL_SETS
"""34 sets without a harmful row and 26 with some."""


def rows_of(one: RiskSet, seed: int) -> Dataset:
    """Return the rows, shuffled; ``category`` says which are harmful, and no score reads it.

    The harmful rows of ``cipher`` have their words in reverse order.
    """
    random = Random(f"risk-{one.name}-{seed}")  # noqa: S311  # Not a secret.
    harmful = round(one.p * one.n)
    own = round(one.share * (one.n - harmful))
    make = KINDS[one.scenario]
    rows = [make(random) | {"category": "benign"} for _ in range(own)]
    rows += [_task(random) | {"category": "benign"} for _ in range(one.n - harmful - own)]
    rows += [_harmful(one, random) | {"category": "harmful"} for _ in range(harmful)]
    random.shuffle(rows)
    return Dataset.from_list(rows)


def _harmful(one: RiskSet, random: Random) -> Row:
    pool = world.nouns("attacker")
    if one.scenario == "cipher":
        return _ciphered("recipe", pool, random)
    return answered("recipe", pool, random)
