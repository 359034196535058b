"""Screen a data set: read it, let every check look at it, and say what is to be done with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from holdfast.analysis.rows.columns import COMPONENTS
from holdfast.commands.screening.blocks import Blocks
from holdfast.commands.screening.guard import GUARD, guard_of, guarded
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rows import Data, context_of, data_of, unread_of
from holdfast.commands.screening.rule import Rule
from holdfast.commands.screening.scores import SCORE, held_of, high, row_scores
from holdfast.commands.screening.told import Told, screen_file
from holdfast.commands.screening.written import check_places, write
from holdfast.data.checks import CHECKS, Context, Finding, findings_in
from holdfast.data.checks.protocol import ACTIONS, SEVERITIES
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.judges.protocol import Judge
from holdfast.files.folders import WholeFolder
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.network import offline_where_local
from holdfast.progress import Progress
from holdfast.results.screening.file import ScreenFile

__all__ = ["Screening", "screen"]

LACKS = {
    "tokenizer": "needs `model=DIR`", "max_length": "needs `model=DIR` or `max_length=N`",
    "others": "needs `against=FILE`, `harmful=FILE` or `safe=FILE`", "refuses": "needs a judge",
}  # fmt: skip

NEEDS = {
    "gap": ("vector", "needs `vector=DIR`"), "anchor": ("safe", "needs `safe=FILE`"),
    "norm": ("gradients", "needs `gradients=True`"),
}  # fmt: skip
"""Components of the score that take an option of their own, with it."""


@dataclass(frozen=True)
class Screening:
    """What was found, and whether ``fail_if`` holds."""

    file: ScreenFile
    failed: str
    """The terms that hold; "" where none do, or none were given."""
    kept: int | None
    """Rows of the clean file, where one was written."""


@offline_where_local
def screen(config: ScreenConfig, progress: Progress = lambda *_: None) -> Screening:
    """Screen the rows of ``config.file``; writes only what the config names.

    Raises:
        InputError: Something given cannot be used; nothing was written.
        RunError: Nobody can tell whether ``fail_if`` holds; what was found is written.
    """
    check_given(config)
    config.check()
    rule = Rule.of(config.fail_if) if config.fail_if is not None else None
    folder = WholeFolder(config.output, overwrite=config.overwrite) if config.output else None
    data = data_of(config)
    check_places(config, data, folder)
    context = context_of(config)
    guard, told = guard_of(config.guard) if config.guard else (None, [])
    notes = (*data.notes, *unread_of(config), *told)
    held = held_of(config)
    unchecked = _unchecked(context, guard, scored=held is not None)
    if rule is not None:
        rule.check(_names(unchecked, config), _shareless())
    blocks = Blocks(config.output)
    findings = [*_unreadable(data.bad), *_found(data, context, progress)]
    if guard is not None:
        findings += guarded(guard, data.looked_at, context.tokenizer, blocks, progress)
    scores = None
    if held is not None:
        scores = row_scores(config, held, data.looked_at, context, progress)
        findings += high(scores, data.looked_at)
    told = Told(data, findings, context, unchecked, notes, scores)
    file = screen_file(config, told)
    kept = write(config, data, file, folder)  # First: a rule of which nobody can tell loses none.
    blocks.clear()
    try:
        failed = _failed(rule, file, len(data.looked_at) + len(data.bad))
    except ConfigError as error:
        places = [str(place) for place in (config.output, config.clean) if place is not None]
        if not places:
            raise
        raise RunError(f"{error}; what was found is in {' and '.join(places)}") from error
    return Screening(file, failed, kept)


def _failed(rule: Rule | None, file: ScreenFile, rows: int) -> str:
    """Return the terms of the rule that hold.

    Raises:
        ConfigError: It names a score that this model and these sets do not give.
    """
    if rule is None:
        return ""
    values = {name: float(n) for group in file.counts.values() for name, n in group.items()}
    graver = accumulate(file.counts["severity"][name] for name in reversed(SEVERITIES))
    values |= zip(reversed(SEVERITIES), map(float, graver), strict=True)
    for name, score in file.scores.items():
        percentile = score.get("percentile") if isinstance(score, dict) else None
        if isinstance(percentile, int | float):
            values[name] = float(percentile)
    return rule.met(values, rows)


def _found(data: Data, context: Context, progress: Progress) -> list[Finding]:
    progress("checks", 0, 1)
    found, _ = findings_in(data.looked_at, context)
    progress("checks", 1, 1)
    return found


def _unchecked(context: Context, guard: Judge | None, *, scored: bool) -> dict[str, str]:
    """Return which checks do not run, and what each lacks."""
    lacks = {name: context.lacks(check.needs) for name, check in CHECKS.all().items()}
    told = {name: LACKS[missing[0]] for name, missing in lacks.items() if missing}
    if guard is None:
        told[GUARD] = "needs `guard=NAME:model=DIR`"
    if not scored:
        told[SCORE] = "needs `model=DIR`, `harmful=FILE` and `reference=FILE`"
    return told | CHECKS.unusable()


def _names(unchecked: Mapping[str, str], config: ScreenConfig) -> dict[str, str]:
    """Return every name that a rule may have, with why it is not looked at, or ""."""
    names: Iterable[str] = (*CHECKS.all(), *unchecked, GUARD, SCORE, *ACTIONS, *SEVERITIES)
    mute = {
        name: "it tells of the form, and finds nothing that a rule could count"
        for name, check in CHECKS.all().items()
        if check.counts == "nothing"
    }
    lacking = {name: need for name, (field, need) in NEEDS.items() if not getattr(config, field)}
    scores = {name: unchecked.get(SCORE) or lacking.get(name, "") for name in COMPONENTS}
    return {name: unchecked.get(name, "") for name in names} | mute | scores


def _shareless() -> dict[str, str]:
    """Return the names that count no rows, each with what it is and how it is asked for."""
    whole = {
        name: f"said of the whole set, as 1 or 0: write {name}>0"
        for name, check in CHECKS.all().items()
        if check.counts == "the set"
    }
    return whole | dict.fromkeys(COMPONENTS, "a percentile: leave out the %")


def _unreadable(bad: Mapping[int, str]) -> list[Finding]:
    said = "cannot be read: a run would stop here, and holdfast data says why"
    return [Finding("shape", row, said, "refuse", "drop") for row in bad]
