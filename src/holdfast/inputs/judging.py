"""Measure a model with the judges that fit it: the organism's oracle, or two of refusals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.data.chat import encode_prompt
from holdfast.errors import ConfigError, DataError
from holdfast.evaluation import Item, Measurement, evaluate
from holdfast.evaluation.judges import BUILT_IN, Judge
from holdfast.evaluation.judges.endpoint import EndpointJudge
from holdfast.evaluation.judges.protocol import GROUP, MakesJudge, fault, tells_refusals
from holdfast.files.entry_points import Registry
from holdfast.inputs.answered.phrases import by_phrases
from holdfast.inputs.judge_specs import built, prepared
from holdfast.inputs.rows import ORGANISM
from holdfast.progress import Progress, silent

__all__ = [
    "Examiner", "Panel", "check_items", "default_judges", "forget_kept", "judge_for", "judges",
    "judges_for", "kept_verdicts", "refusal_judge", "verdicts_beside", "verdicts_in",
]  # fmt: skip


class Panel(NamedTuple):
    """The judges of a run, in order; the first one's figures are the run's."""

    judges: tuple[Judge, ...]
    notes: tuple[str, ...]
    """What a reader must know of them."""


@cache
def judges() -> Registry[MakesJudge]:
    """Return the judges by name: ours, and those that other packages declare."""
    from holdfast.organism import Oracle  # noqa: PLC0415  # Only for who asks for it.

    return Registry(GROUP, "judge", {**BUILT_IN, "organism_oracle": Oracle}, fault)


def default_judges(model: str) -> list[str]:
    """Return who reads the answers of a model where nobody is named; the first one's figures count.

    Two for a real model: on one judge alone its own faults look like the model's.
    """
    wanted = ("organism_oracle",) if model == ORGANISM else ("learned_refusal", "refusal_phrases")
    return [name for name in wanted if name in judges().own]


def judge_for(model: str, name: str | None = None) -> Judge:
    """Return the judge of this name, or of ``NAME:key=value,...``; without, the model's first.

    Raises:
        ConfigError: There is none of this name, or it is an installed one that cannot be used.
    """
    return built(default_judges(model)[0] if name is None else name, judges().find)


def judges_for(
    model: str,
    given: Sequence[str] | str | None = None,
    phrases: Path | None = None,
    output: Path | None = None,
    progress: Progress = silent,
) -> Panel:
    """Return the judges that were named, built and ready, or the model's own.

    An endpoint's verdicts are kept beside ``output`` until they stand there; see ``forget_kept``.
    They take their time, of which ``progress`` is told.

    Raises:
        ConfigError: A judge or an option is unknown or wrong, or two are the same judge.
        InputError: What a judge needs is not there: its model's files, its server.
    """
    named = [given] if isinstance(given, str) else list(given or ())
    if phrases is not None:
        return Panel((by_phrases(phrases, named),), ())
    found = [(text, built(text, judges().find)) for text in named or default_judges(model)]
    names = [judge.name for _, judge in found]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ConfigError(
                f"`judge={found[place][0]}` is given twice: two judges tell how far they agree, "
                "and one with itself always does; give another"
            )
    notes = tuple(prepared(found))
    how: dict[str, Any] = {"kept": output and verdicts_beside(output), "progress": progress}
    ours = (replace(j, **how) if isinstance(j, EndpointJudge) else j for _, j in found)
    return Panel(tuple(ours), notes)


def forget_kept(judges: Sequence[Judge]) -> None:
    """Let judges know that their verdicts stand in a result: what was kept of them may go.

    They share a file: where one endpoint was left, the verdicts of another stay with its own.
    """
    ours = [judge for judge in judges if isinstance(judge, EndpointJudge)]
    for judge in ours if not any(judge.was_left for judge in ours) else ():
        judge.finished()


def verdicts_beside(output: Path) -> Path:
    """Return where an endpoint's verdicts are kept until they stand in ``output``."""
    return output.with_name(f".{output.name}.verdicts.jsonl")


def kept_verdicts(judges: Sequence[Judge]) -> str:
    """Return what a run that stops says of the verdicts that it leaves, or ""."""
    ours = [judge.kept for judge in judges if isinstance(judge, EndpointJudge)]
    return verdicts_in(next((place for place in ours if place is not None), None))


def verdicts_in(place: Path | None) -> str:
    """Return what is said of the verdicts in a file, or "" where there is none."""
    if place is None or not place.exists():
        return ""
    return f"; verdicts that were made are in {place}: the same command goes on"


def refusal_judge(model: str, given: Sequence[Judge] = ()) -> Judge:
    """Return the first of a run's judges that tells refusals, else the model's own first."""
    return next(filter(tells_refusals, given), None) or judges_for(model).judges[0]


def check_items(items: Sequence[Item], tokenizer: Any, limit: int | None, new: int) -> None:
    """Raise ``DataError``, naming the question, unless each leaves room for its answer."""
    for item in items if limit is not None else ():
        length = len(encode_prompt(list(item.prompt), tokenizer))  # type: ignore[arg-type]
        if length + new > (limit or 0):
            raise DataError(
                f"question {item.id}: has {length} tokens, and with {new} for the answer it is "
                f"longer than the model's {limit}: shorten it, or lower `max_new_tokens`"
            )


@dataclass(frozen=True)
class Examiner:
    """Asks the same questions of a model, before and after."""

    items: Sequence[Item]
    tokenizer: Any
    judge: Judge | Sequence[Judge]
    progress: Progress
    max_new_tokens: int = 64
    batch_size: int = 64

    @property
    def judges(self) -> list[Judge]:
        """Those who read the answers; the first one's figures count."""
        return list(self.judge) if isinstance(self.judge, Sequence) else [self.judge]

    def examine(self, name: str, model: Any) -> Measurement | None:
        """Return the measurement, or None where there is no question; ``name`` is the stage's."""
        if not self.items:
            return None
        self.progress(name, 0, len(self.items))
        return evaluate(
            model,
            self.tokenizer,
            self.items,
            self.judge,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            progress=lambda done, total: self.progress(name, done, total),
        )
