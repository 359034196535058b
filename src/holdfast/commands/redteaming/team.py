"""Make the attacks of a plan on a model, each kept when it is done."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.commands.redteaming.deciding import how_answered, how_judged
from holdfast.commands.redteaming.plan import AttackPlan
from holdfast.errors import ConfigError
from holdfast.evaluation.redteam import Asked, Attack, Attacker, Target
from holdfast.evaluation.redteam.answered import AttackAnswers
from holdfast.evaluation.redteam.attacks.direct import direct
from holdfast.evaluation.redteam.kept import KeptAttacks
from holdfast.evaluation.redteam.proximal import Search, searched
from holdfast.files.whole import write_whole
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.models import positions
from holdfast.inputs.read import Inputs
from holdfast.results.redteam.made import red_team_of
from holdfast.results.redteam.records import RedTeam
from holdfast.results.result import RunResult
from holdfast.training.failures import leaving

__all__ = ["TEXTS", "Team", "attacked", "keep_texts"]

NO_SEARCH = "a search needs the model itself"
TEXTS = "attacks.jsonl"
"""Prompts and answers, where the user asked for them."""


@dataclass(frozen=True)
class Team:
    """The attacks of one command, all checked; nothing of them has been asked yet."""

    plan: AttackPlan
    attacker: Attacker
    kept: KeptAttacks
    texts: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Prompts and answers of attacks that were made, where the user asked for them."""

    @classmethod
    def of(cls, config: EvaluateConfig, inputs: Inputs) -> "Team | None":
        """Return the attacks that a command asks for, or None.

        Raises:
            InputError: Something of them cannot be used; nothing was asked.
        """
        asked = inputs.examiner
        plan = AttackPlan.of(config, asked.items)
        if plan is None:
            return None
        limit = None if asked.tokenizer is None else positions(inputs.model, asked.tokenizer)
        size = asked.max_new_tokens, asked.batch_size, limit
        target = Target(inputs.model, asked.tokenizer, *size)
        plan.check(target)
        reasons = [_nothing(target, plan, attack) for attack in plan.attacks]
        if all(reasons):
            told = f"`attacks={config.attacks}`: none can be made on this model: {reasons[0]}"
            raise ConfigError(told)
        judges = asked.judges
        attacker = Attacker(
            target,
            [item for item in asked.items if item.kind == "harmful"],
            judges,
            lambda name, done, total: asked.progress(f"attack {name}", done, total),
            config.show_harmful,
        )
        how = {**how_answered(config, target), **how_judged(config, attacker)}
        return cls(plan, attacker, KeptAttacks(_place(config.output), how))

    def attacked(self) -> RedTeam:
        """Make the attacks, and return what they found."""
        plan, items = self.plan, self.attacker.items
        with leaving(self.kept.told):
            ready = [one for one in plan.attacks if one.name not in plan.prompts.missing]
            found = [self._one(attack) for attack in ready]
        self.texts.extend(row for one in found for row in one.texts)
        return red_team_of(
            found,
            categories={item.id: item.category for item in items},
            missing=plan.prompts.missing,
            prompts_sha256=plan.prompts.sha256,
            seed=plan.context.seed,
        )

    def _one(self, attack: Attack) -> AttackAnswers:
        # What a search finds follows from the questions, the model and the seed.
        asked = self.plan.prompts.prompts.get(attack.name)
        asked = asked or direct(self.attacker.items, self.plan.context)
        if (found := self.kept.found(attack.name, asked)) is not None:
            self.attacker.progress(attack.name, len(asked), len(asked))
            return found
        found = self._searched(attack) if attack.adaptive else self.attacker.ask(attack, asked)
        if not found.partial:  # Else the same command asks again, with a judge that is there.
            self.kept.keep(attack.name, asked, found)
        return found

    def _searched(self, attack: Attack) -> AttackAnswers:
        why = "" if self.attacker.target.is_here else NO_SEARCH
        search = Search(why_not=why) if why else searched(self.attacker, self.plan.context)
        if search.why_not:
            return AttackAnswers(attack.name, not_run={attack.name: search.why_not})
        found = self.attacker.ask(attack, search.asked)
        found.search = search.figures
        return found


def attacked(result: RunResult, team: Team | None) -> RunResult:
    """Return a result with what the attacks found, where any are made."""
    if team is None:
        return result
    told = [*result.warnings, *team.plan.notes]
    return result.model_copy(update={"red_team": team.attacked(), "warnings": told})


def keep_texts(team: Team | None, folder: Path) -> None:
    """Write prompts and answers where the user asked for them; what was kept may go now."""
    if team is None:
        return
    if team.texts:
        lines = [json.dumps(row, ensure_ascii=False) for row in team.texts]
        write_whole(folder / TEXTS, "\n".join(lines) + "\n")
    team.kept.forget()


def _nothing(target: Target, plan: AttackPlan, attack: Attack) -> str:
    """Return why nothing of an attack can be asked, or ""."""
    if attack.adaptive:
        return "" if target.is_here else NO_SEARCH
    if attack.name in plan.prompts.missing:
        return plan.prompts.missing[attack.name]
    by_variant: dict[str, list[Asked]] = {}
    for one in plan.prompts.prompts[attack.name]:
        by_variant.setdefault(one.variant, []).append(one)
    reasons = [target.why_not(own) for own in by_variant.values()]
    return "" if "" in reasons else reasons[0]


def _place(output: Path | None) -> Path | None:
    """Return where attacks are kept until the output is there."""
    return output and output.with_name(f".{output.name}.attacks.jsonl")
