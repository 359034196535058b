"""The suite of a defense: its card, and every clause of the contract on a tiny model."""

import re
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any

from holdfast.defense import HOOKS, Capability, Defense, Stage
from holdfast.defenses import registry
from holdfast.defenses.installed import fault
from holdfast.organism.scenarios import defender_pairs
from holdfast.testing import checks, sharing, stacks
from holdfast.testing.runs import FULL, LORA_ON_BF16, SFT_LORA, require

__all__ = ["CLAUSES", "check_card", "check_defense"]

CLAUSES: tuple[Callable[..., None], ...] = (
    checks.check_strength_zero, checks.check_acts, checks.check_trace, checks.check_accumulation,
    checks.check_seeds, checks.check_resume, checks.check_leaves_nothing,
    checks.check_leaves_nothing_after_errors, stacks.check_adapters, stacks.check_packing,
    sharing.check_variant,
    sharing.check_shared,
    sharing.check_report,
)  # fmt: skip


def check_defense(cls: type[Defense], *, skip: Collection[str] = (), **settings: Any) -> None:
    """Run the suite on a defense; it takes about a minute.

    Args:
        cls: Its class.
        skip: Names of ``CLAUSES`` that it breaks by its definition.
        settings: Fields that it needs to run on a random model; those of ``card.data`` get rows.

    Raises:
        AssertionError: It breaks the contract; names the clause, the setting and what is wrong.
        ConfigError: It cannot be built of the settings.
    """
    wrong = fault(cls, getattr(getattr(cls, "card", None), "name", ""))
    require(not wrong, f"{getattr(cls, '__name__', cls)}: {wrong}")
    check_card(cls)

    def make(**overrides: Any) -> Defense:
        rows = {name: defender_pairs().select(range(6)) for name in cls.card.data}
        return cls(**{**rows, **settings, **overrides})

    make().validate()
    for clause in (c for c in CLAUSES if c.__name__ not in skip):
        # In bfloat16, w + v - v is not w.
        frozen = LORA_ON_BF16 if "leaves_nothing" in clause.__name__ else SFT_LORA
        for setting in (FULL, frozen):
            try:
                clause(make, setting)
            except Exception as error:
                said = f"{cls.card.name}, {clause.__name__}, {setting}: {error}"
                raise AssertionError(said) from error


def check_card(cls: type[Defense]) -> None:
    """Every text of the card is there, every name on it exists, and no field hides a hook."""
    card, names = cls.card, {f.name for f in fields(cls)}  # type: ignore[arg-type]
    for text in ("name", "summary", "paper", "strength", "cost"):
        require(getattr(card, text).strip(), f"the card has no {text}")
    require(re.fullmatch(r"[a-z][a-z0-9_]*", card.name), f"{card.name!r} is no name for a file")
    require(card.summary.endswith("."), f"summary {card.summary!r} is no sentence with a dot")
    stage: Any = card.stage
    require(isinstance(stage, Stage), f"stage {stage!r} is no Stage")
    require(card.strength in names, f"strength {card.strength!r} is no field")
    require(set(card.data) <= names, f"data {card.data} are no fields")
    needs: set[Any] = {need for need in card.needs if not isinstance(need, Capability)}  # type: ignore[reportUnnecessaryIsInstance]
    require(not needs, f"needs {needs} are no Capability")
    unknown = set(card.conflicts or {}) - {*registry(), card.name}
    require(not unknown, f"conflicts with unknown: {unknown}")
    require(not names & set(HOOKS), f"the field {names & set(HOOKS)} hides the hook of that name")
