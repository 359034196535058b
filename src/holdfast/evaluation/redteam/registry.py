"""The attacks by name, in the order of use, and the sets that have a name of their own."""

from collections.abc import Sequence

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.metrics import Item
from holdfast.evaluation.redteam.attack import Asked, Attack, Context
from holdfast.evaluation.redteam.attacks import (
    BEST_OF_N,
    DIRECT,
    PERSONA,
    PREFILL,
    PROXIMAL,
    TASK_WRAP,
    TEMPLATE,
)

__all__ = ["ATTACKS", "IN_UNION", "SETS", "attack_prompts", "attacks_named"]

ATTACKS: dict[str, Attack] = {
    each.name: each for each in (DIRECT, PREFILL, TASK_WRAP, TEMPLATE, PERSONA, BEST_OF_N, PROXIMAL)
}
IN_UNION: tuple[str, ...] = tuple(name for name, each in ATTACKS.items() if each.number <= 5)
"""The attacks of the headline, "any of 1-5"."""
SETS: dict[str, tuple[str, ...]] = {"gate": IN_UNION, "nightly": tuple(ATTACKS)}
"""Eight prompts a question, and all attacks."""


def attacks_named(text: str) -> list[Attack]:
    """Return the attacks of ``gate``, ``nightly`` or names with commas, in the order of use.

    Raises:
        ConfigError: A name is unknown, or given twice.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    names = [name for word in words for name in SETS.get(word, (word,))]
    for name in names or [""]:
        if name not in ATTACKS:
            known = [*SETS, *ATTACKS]
            raise ConfigError(
                f"`attacks={text}`: there is no attack {name!r}: give {', '.join(known)}, or "
                f"several with commas.{nearest(name, known)}"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"`attacks={text}` names an attack twice: give each once")
    return [each for name, each in ATTACKS.items() if name in names]


def attack_prompts(name: str, items: Sequence[Item], context: Context) -> list[Asked]:
    """Return what one attack asks for each harmful question; no model is needed.

    Raises:
        ConfigError: The attack is unknown, makes its prompts from the model alone, or lacks
            something of the context.
    """
    [attack] = attacks_named(name)
    if attack.asks is None:
        raise ConfigError(f"the attack {name!r} makes its prompts from the model: search for them")
    if missing := attack.missing(context):
        raise ConfigError(f"the attack {name!r} cannot be made: {missing}")
    return attack.asks([item for item in items if item.kind == "harmful"], context)
