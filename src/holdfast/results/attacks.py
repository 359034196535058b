"""Which attacks a bench ran, which of them arms have in common, and how they are told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from holdfast.results.records import PLAIN, Arm, Attack
from holdfast.results.words import TITLES, percent

__all__ = [
    "KNOBS", "apart", "attack_text", "attacked", "attacks_of", "common_attacks", "knob_columns",
    "short", "varied",
]  # fmt: skip

KNOBS = ("p", "learning_rate", "epochs", "rows")
"""What an attacker chooses; steps follow from epochs and rows."""
Met = Mapping[str, Sequence[Attack]]
"""Attacks that each arm ran under, by the arm's defense."""


def attacked(arms: Sequence[Arm]) -> dict[str, list[Arm]]:
    """Return the arms with an attack by the scenario's own name, in the recipe's order."""
    found: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.attack is not None:
            found.setdefault(arm.attack.scenario, []).append(arm)
    return found


def attacks_of(arms: Sequence[Arm]) -> list[Attack]:
    """Return every attack once, in order."""
    return list(dict.fromkeys(arm.attack for arm in arms if arm.attack is not None))


def knob_columns(attack: Attack | None) -> dict[str, float | int | None]:
    """Return an attack's knobs and steps as columns, empty for none; a batch of its own as well."""
    batch = {} if attack is None or attack.batch is None else {"batch": attack.batch}
    names = (*KNOBS, "steps")
    return {key: None if attack is None else getattr(attack, key) for key in names} | batch


def common_attacks(met: Met) -> tuple[list[Attack], list[str]]:
    """Return the attacks over which arms are compared, and the arms that ran under all of them.

    A defense that met fewer attacks would look better, so the worst case is taken over one set A
    for all. Of the candidates (what an arm met, and what two arms both met, within what plain
    fine-tuning met) it is the one with the most comparisons::

        A = argmax |A| * |{arms that ran under all of A}|,  |A| > 1 where there is such a set

    ties going to the larger A, then to the recipe's order. No measured figure enters.
    """
    if not met:
        return [], []
    plain = met.get(PLAIN)
    sets = {name: frozenset(of).intersection(of if plain is None else plain)
            for name, of in met.items()}  # fmt: skip
    distinct = list(dict.fromkeys(sets.values()))
    pairs = [a & b for a, b in combinations(distinct, 2)]
    candidates = [one for one in dict.fromkeys([*distinct, *pairs]) if one]
    candidates = [one for one in candidates if len(one) > 1] or candidates
    if not candidates:
        return [], []

    def compared(chosen: frozenset[Attack]) -> list[str]:
        return [name for name, own in sets.items() if chosen <= own]

    best = max(candidates, key=lambda one: (len(one) * len(compared(one)), len(one)))
    order = list(dict.fromkeys(attack for of in met.values() for attack in of))
    return [attack for attack in order if attack in best], compared(best)


def varied(attacks: Sequence[Attack]) -> list[str]:
    """Return the knobs that differ among ``attacks``."""
    return [knob for knob in (*KNOBS, "batch") if len({getattr(one, knob) for one in attacks}) > 1]


def apart(attack: Attack, among: Sequence[Attack]) -> str:
    """Return in words what sets an attack apart: its knobs that are not the most common ones."""
    knobs, own = varied(among), list[str]()
    for knob in knobs:
        [(usual, _)] = Counter(getattr(one, knob) for one in among).most_common(1)
        own += [knob] if getattr(attack, knob) != usual else []
    return attack_text(attack, own or knobs) if knobs else ""


def attack_text(attack: Attack, knobs: Sequence[str] = KNOBS, *, named: bool = False) -> str:
    """Return an attack in words: ``10% harmful rows, learning rate 2.3e-4, 3 epochs, 500 rows``.

    Args:
        attack: What the user's run was.
        knobs: Which of its knobs are told; the scenario's name stands where none is. A batch that
            is not the budget's is told always.
        named: Start with the scenario's name.
    """
    told = {
        "p": f"{percent(attack.p)} harmful rows",
        "learning_rate": f"learning rate {short(attack.learning_rate)}",
        "epochs": f"{short(attack.epochs)} {'epoch' if attack.epochs == 1 else 'epochs'}",
        "rows": f"{attack.rows} rows",
    }
    words = [told[knob] for knob in KNOBS if knob in knobs]
    words += [] if attack.batch is None else [f"{attack.batch} rows a step"]
    name = TITLES.get(attack.scenario, attack.scenario)
    return f"{name}: {', '.join(words)}" if named and words else ", ".join(words) or name


def short(number: float) -> str:
    """Return a number with three digits at most: ``2.3e-4``, ``0.05``, ``1.88``."""
    text = f"{number:.3g}"
    if "e" not in text and 0 < abs(number) < 0.01:
        text = f"{number:.2e}"
    if "e" not in text:
        return text
    base, _, power = text.partition("e")
    return f"{base.rstrip('0').rstrip('.') if '.' in base else base}e{int(power)}"
