"""Hold a result that exists to limits."""

from collections.abc import Sequence

from holdfast.commands.gating.checks import Answers, refuse_unasked
from holdfast.commands.gating.plan import Plan
from holdfast.commands.gating.verdict import Judged, verdict
from holdfast.comparisons.two_results import load_result
from holdfast.errors import ConfigError, InputError, nearest
from holdfast.files.folders import WholeFolder
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.options.gate_options import GateConfig
from holdfast.report.release.files import write_release
from holdfast.results.records import BEFORE, Arm, SeedRun
from holdfast.results.result import RunResult

__all__ = ["gate_result"]


def gate_result(config: GateConfig) -> RunResult:
    """Return the result of one model with the verdict on it, and write it where a folder is given.

    Raises:
        InputError: Something given cannot be used; nothing was written.
    """
    check_given(config)
    plan = Plan.of(config)
    if plan.policy is None:
        raise ConfigError("no limit to hold: give `require=hs<=.05`, or `policy`, a file of them")
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    if folder is not None:
        folder.check([config.result, config.policy, config.before])
    _refuse_itself(config)
    result = load_result(config.result)
    arm = _arm(result, config.arm)
    runs = _with_answers(arm, str(config.result))
    before = plan.before or _before(result, arm)
    kinds = set.intersection(*({answer.kind for answer in run.answers} for run in runs))
    refuse_unasked(plan.policy.requirements, kinds, compared=before is not None)
    answers = Answers(runs, before, result.data, result.red_team)
    judged = Judged(answers, result, arm.defense, _known(result))
    gate = verdict(plan.policy, judged)
    found = result.model_copy(update={"gate": gate})
    if folder is not None:
        with folder.held(), folder.writing() as partial:
            write_release(found, partial, show_harmful=config.show_harmful)
    return found


def _refuse_itself(config: GateConfig) -> None:
    """Refuse a change since the very same answers: it is none, and every limit on it holds."""
    given = [each / "result.json" if each.is_dir() else each
             for each in (config.result, config.before) if each is not None]  # fmt: skip
    if len({each.resolve() for each in given}) < len(given):
        raise ConfigError(
            f"`before={config.before}` is the result that is judged: give that of the model before "
            "tuning, or of the last release"
        )


def _arm(result: RunResult, name: str | None) -> Arm:
    """Return whose answers are judged: the arm of that name, or the only one that was tuned."""
    tuned = [arm for arm in result.arms if arm.defense != BEFORE] or result.arms
    found = [arm for arm in result.arms if arm.defense == name] if name is not None else tuned
    if len(found) == 1:
        return found[0]
    names = list(dict.fromkeys(arm.defense for arm in result.arms))
    if name is None:
        raise ConfigError(f"several models are in this result: give `arm`, one of {_list(names)}")
    if not found:
        raise ConfigError(
            f"`arm={name}` is not in this result; expected {_list(names)}.{nearest(name, names)}"
        )
    raise ConfigError(
        f"`arm={name}` was run under {len(found)} settings in this result, and a gate judges one "
        "model: evaluate it alone"
    )


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _with_answers(arm: Arm, path: str) -> list[SeedRun]:
    if not arm.runs or any(not run.answers for run in arm.runs):
        raise InputError(
            f"{path}: answers were not kept, and a gate counts them one by one: evaluate again"
        )
    if any(not run.judge for run in arm.runs):
        raise InputError(f"{path}: no judge has read the answers: evaluate again with one")
    return arm.runs


def _before(result: RunResult, arm: Arm) -> SeedRun | None:
    """Return the run of the model before tuning, where this result has one beside the arm."""
    found = [one for one in result.arms if one.defense == BEFORE and one is not arm]
    # A bench tells knobs such as its steps in the name, of which the untouched model has none; that
    # of `tune` names no scenario at all.
    for scenario in (arm.scenario, arm.attack.scenario if arm.attack else "", ""):
        same = [one for one in found if one.scenario == scenario]
        if same:
            return same[0].runs[0] if len(same) == len(same[0].runs) == 1 else None
    return None


def _known(result: RunResult) -> str:
    """Return the hash of the weights that an earlier verdict on this result has."""
    return result.gate.subject.weights if result.gate is not None else ""
