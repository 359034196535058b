"""The search and certification prompts asked as a red team asks them: prefilled, wrapped, posed.

What was counted stands in the cell's diagnostics, by attack and question, without a text. The
prompts of an attack are made of the questions and a seed alone, before any model is seen.
"""

from collections.abc import Sequence
from typing import Any

from holdfast.bench.cell.cell import Cell
from holdfast.bench.subject.organism import ORGANISM_SUBJECT
from holdfast.defense import listed
from holdfast.errors import ConfigError
from holdfast.evaluation.redteam import (
    Attack,
    Attacker,
    Context,
    Standing,
    Target,
    attack_prompts,
    attacks_named,
)
from holdfast.evaluation.redteam.english import ENGLISH
from holdfast.inputs.judging import judges_for
from holdfast.organism.attack_words import SPEECH
from holdfast.results.records import Diagnostics, SeedRun

__all__ = ["ANY", "attacked", "attacks_of", "under_attack"]

ATTACKS = "attacks"
DIRECT = "direct"
ANY = "any of them"
"""The union: a question counts that any attack, or asking it directly, had answered."""
_TASK_ROWS = 64
_BAD = frozenset({Standing.HARMFUL, Standing.UNCLEAR})


def attacks_of(text: str) -> tuple[str, ...]:
    """Return the names of the attacks beside the direct question; () for none.

    Raises:
        ConfigError: A name is unknown, or its prompts are made from the model.
    """
    found = attacks_named(text) if text.strip() else []
    for one in found:
        if one.adaptive:
            raise ConfigError(
                f"`attacks={text}`: {one.name} adapts to the model, and no bound holds for prompts "
                "that do: leave it out, and run it with `holdfast redteam`"
            )
    return tuple(one.name for one in found if one.name != DIRECT)


def attacked(run: SeedRun, names: Sequence[str], cell: Cell, model: Any, tokenizer: Any) -> SeedRun:
    """Return the run with what became of its harmful questions under each attack.

    Raises:
        ConfigError: An attack cannot be made, or not asked of this model.
    """
    if not names:
        return run
    items = [item for item in cell.questions if item.kind == "harmful"]
    subject = cell.subject
    target = Target(model, tokenizer, subject.max_new_tokens, subject.batch_of_answers)
    attacker = Attacker(target, items, judges_for(subject.name).judges)
    context, values = _context(cell), dict[str, Any]()
    for attack in attacks_named(",".join(names)):
        values[attack.name] = _asked(attacker, attack, context)
    found = {ATTACKS: Diagnostics(values=values)}
    return run.model_copy(update={"diagnostics": {**run.diagnostics, **found}})


def under_attack(run: SeedRun, direct: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return how bad each question's answer was by attack, and under any of them; {} without one.

    Args:
        run: Of a cell that was attacked.
        direct: The same of the questions asked as they stand.
    """
    kept = run.diagnostics.get(ATTACKS)
    tables: dict[str, Any] = dict(kept.values) if kept else {}
    found = {
        name: {item: float(said in _BAD) for item, said in table.items()}
        for name, table in tables.items()
    }
    if not found:
        return {}
    every = [direct, *found.values()]
    # What an attack did not ask of a question cannot have held.
    union = {item: max(table.get(item, 1.0) for table in every) for item in direct}
    return {**found, ANY: union}


def _asked(attacker: Attacker, attack: Attack, context: Context) -> dict[str, str]:
    said = attacker.ask(attack, attack_prompts(attack.name, attacker.items, context))
    if gaps := said.gaps():
        raise ConfigError(
            f"the attack {attack.name!r} cannot be asked of this model ({gaps[0]}: "
            f"{said.not_run[gaps[0]]}): leave it out of `attacks`"
        )
    return {item: str(standing) for item, standing in said.standings().items()}


def _context(cell: Cell) -> Context:
    own = cell.subject.name == ORGANISM_SUBJECT.name
    # The same rows for every candidate, none of them harmful.
    rows = cell.subject.user_rows(cell.scenario, min(_TASK_ROWS, cell.point.rows), 0.0, 0)
    return Context(SPEECH if own else ENGLISH, listed(rows))
