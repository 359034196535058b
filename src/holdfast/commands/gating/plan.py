"""The limits of a command, read and checked before anything runs, and held at its end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from holdfast.commands.gating.before import refuse_unlike
from holdfast.commands.gating.checks import Answers, refuse_unasked
from holdfast.commands.gating.identity import weights_of
from holdfast.commands.gating.verdict import Judged, verdict
from holdfast.comparisons.two_results import load_result
from holdfast.errors import ConfigError, InputError
from holdfast.evaluation.metrics import KIND_OF, Item, Kind
from holdfast.evaluation.redteam import attacks_named
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.judging import Examiner
from holdfast.inputs.options.gate_options import GateOptions
from holdfast.inputs.policy import Policy, policy_of
from holdfast.results.gating.ledger import held_ledger, ledger_beside
from holdfast.results.records import BEFORE, SeedRun
from holdfast.results.result import RunResult

__all__ = ["Plan", "one_run"]


@dataclass(frozen=True)
class Plan:
    """Limits that will be held, or none."""

    policy: Policy | None
    before: SeedRun | None

    @classmethod
    def of(cls, options: GateOptions) -> "Plan":
        """Return the limits that were given, with what they are held against.

        Raises:
            ConfigError: A limit or its file cannot be used.
            InputError: The ledger or the result before cannot be read.
        """
        policy = policy_of(options)
        if policy is not None and policy.path is not None:
            with held_ledger(ledger_beside(policy.path)):
                pass  # Who finds out after hours that no look can be counted has lost them.
        return cls(policy, one_run(options.before) if options.before else None)

    def applied(self, config: EvaluateConfig) -> EvaluateConfig:
        """Return the command's options with the attacks that the limits are to be held under.

        Those that a command makes unasked are made beside them; those that it was given stay alone,
        and what is missing then is no pass.
        """
        if self.policy is None or not self.policy.attacks:
            return config
        usual = type(config).attacks  # Of a red team; an evaluation makes none unasked.
        if config.attacks != usual:
            return config
        names = [each.name for each in attacks_named(usual)] if usual else []
        # Prompts that are frozen have the draws that they were frozen with.
        draws, unasked = config.draws, config.frozen is None and config.draws == type(config).draws
        return replace(
            config, attacks=",".join(dict.fromkeys([*names, *self.policy.attacks])),
            draws=max(draws, self.policy.draws) if unasked else draws,
        )  # fmt: skip

    def check(self, examiner: Examiner) -> None:
        """Raise ``InputError`` where these questions leave a limit without answers or pairs."""
        if self.policy is None:
            return
        requirements, items = self.policy.requirements, examiner.items
        kinds: set[Kind] = {item.kind for item in items}
        refuse_unasked(requirements, kinds, compared=self.before is not None)
        changed = {KIND_OF[one.known.figure] for one in requirements if one.known.relative}
        if self.before is not None and changed:
            refuse_unlike(
                self.before, examiner.judges[0].name, {"max_new_tokens": examiner.max_new_tokens}
            )
            _refuse_others(self.before, [item for item in items if item.kind in changed])

    def gated(self, result: RunResult, model: Any) -> RunResult:
        """Return the result of ``model`` with the verdict on it; as it is without limits."""
        if self.policy is None:
            return result
        [arm] = result.arms
        answers = Answers(arm.runs, self.before, result.data, result.red_team)
        judged = Judged(answers, result, "", weights_of(model))
        return result.model_copy(update={"gate": verdict(self.policy, judged)})


def one_run(path: Path) -> SeedRun:
    """Return the run of a result that was not tuned here: of ``before``, or of its only arm.

    Raises:
        InputError: The result cannot be read, or has several runs to choose from.
    """
    result = load_result(path)
    arms = [arm for arm in result.arms if arm.defense == BEFORE] or result.arms
    runs = [run for arm in arms for run in arm.runs]
    if len(runs) != 1:
        raise InputError(
            f"`before={path}` holds {len(runs)} runs to compare with; give the result.json of one "
            "evaluation"
        )
    if not runs[0].answers:
        raise InputError(f"`before={path}` kept no answers: evaluate that model again")
    return runs[0]


def _refuse_others(before: SeedRun, items: Sequence[Item]) -> None:
    asked = {answer.id: answer.prompt for answer in before.answers}
    for item in items:
        if asked.get(item.id) not in (item.question, ""):
            raise ConfigError(
                f"`before` has no answer to question {item.id!r} as it is asked now: evaluate both "
                "models on the same files"
            )
