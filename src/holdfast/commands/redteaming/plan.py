"""Which attacks a command makes, and all that is checked of them before the model answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.commands.redteaming.unused import refuse_unused
from holdfast.defense import listed
from holdfast.errors import ConfigError
from holdfast.evaluation import Item
from holdfast.evaluation.redteam import (
    Attack,
    Context,
    Frozen,
    Target,
    attacks_named,
    frozen,
    read_frozen,
)
from holdfast.evaluation.redteam.english import ENGLISH
from holdfast.evaluation.redteam.speech import Speech
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.options.attack_options import MOST_DRAWS
from holdfast.inputs.rows import ORGANISM, Source, source
from holdfast.inputs.sources.kits import with_kits

__all__ = ["AttackPlan", "plan_to_freeze"]


@dataclass(frozen=True)
class AttackPlan:
    """Attacks, their prompts, and what they are made of."""

    attacks: Sequence[Attack]
    prompts: Frozen
    context: Context
    notes: tuple[str, ...] = ()
    """What of the task's rows is not read."""

    @classmethod
    def of(cls, config: EvaluateConfig, items: Sequence[Item]) -> "AttackPlan | None":
        """Return the attacks with their prompts, or None where none is asked for.

        No model is looked at: what is asked cannot depend on it.

        Raises:
            ConfigError: An option is wrong, or there is no harmful question to attack with.
            InputError: The frozen prompts were changed, or rows cannot be read.
        """
        attacks = [] if config.attacks is None else attacks_named(config.attacks)
        refuse_unused(config, [attack.name for attack in attacks])
        if config.attacks is None:
            return None
        rows = _task_source(config)
        context = _context(config, items, rows)
        if not any(item.kind == "harmful" for item in items):
            raise ConfigError("`attacks` needs harmful questions: give `harmful`, a file")
        if config.frozen is not None:
            return cls(attacks, read_frozen(config.frozen, items).only(attacks), context)
        notes = () if rows is None else rows.notes
        told = tuple(f"task_rows: {config.task_rows}: {note}" for note in notes)
        return cls(attacks, frozen(attacks, items, context), context, told)

    def check(self, target: Target) -> None:
        """Raise ``DataError`` where a prompt and its answer are longer than the model takes."""
        for name, asked in self.prompts.prompts.items():
            by_variant: dict[str, list[Any]] = {}
            for each in asked:
                by_variant.setdefault(each.variant, []).append(each)
            for own in by_variant.values():
                if not target.why_not(own):
                    target.check(name, own)


def plan_to_freeze(config: EvaluateConfig, items: Sequence[Item]) -> AttackPlan:
    """Return the attacks that a command asks for, with their prompts.

    Raises:
        ConfigError: No attack is named, or see ``AttackPlan.of``.
    """
    plan = AttackPlan.of(config, items)
    if plan is None or not plan.prompts.prompts:
        raise ConfigError("`attacks` names nothing to freeze: give gate, or names with commas")
    return plan


def _context(config: EvaluateConfig, items: Sequence[Item], rows: Source | None) -> Context:
    if not 1 <= config.draws <= MOST_DRAWS:
        raise ConfigError(f"`draws={config.draws}` is out of range, expected 1 to {MOST_DRAWS}")
    return Context(_speech(config.model), _task_rows(rows, items), config.attack_seed,
                   config.draws)  # fmt: skip


def _speech(model: str) -> Speech:
    if model != ORGANISM:
        return ENGLISH
    from holdfast.organism.attack_words import SPEECH  # noqa: PLC0415  # Only for who asks.

    return SPEECH


def _task_source(config: EvaluateConfig) -> Source | None:
    named = with_kits(config).task_rows
    return source("task_rows", named, limit=config.limit, of_organism="data")


def _task_rows(found: Source | None, items: Sequence[Item]) -> list[Mapping[str, Any]]:
    """Return the user's rows, or the questions of the task with their right answers."""
    if found is not None:
        own = found.path == ORGANISM  # Its rows are a user's with some harmful ones in them.
        rows = listed(found.rows)
        return [row for row in rows if not (own and row.get("category") == "harmful")]
    answer = [item for item in items if item.kind == "task" and item.reference]
    return [
        {"prompt": list(item.prompt),
         "completion": [{"role": "assistant", "content": item.reference}]}
        for item in answer
    ]  # fmt: skip
