"""The four kinds of question of holdfast as tasks; files are read as ``holdfast evaluate`` does."""

from typing import Any

from inspect_ai import Task
from inspect_ai import task as registered
from inspect_ai.dataset import MemoryDataset
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate

from holdfast.data.columns import file_of
from holdfast.errors import ConfigError
from holdfast.evaluation.metrics import Item, Kind
from holdfast.inputs.configs import EvaluateConfig
from holdfast.inputs.guards.given import check_given
from holdfast.inputs.guards.idle import refuse_idle
from holdfast.inputs.guards.network import local_only
from holdfast.inputs.rows import ORGANISM, questions_of
from holdfast.inputs.sources.kits import with_kits
from holdfast.integrations.inspect_ai.messages import as_typed, sample_of
from holdfast.integrations.inspect_ai.scorer import judged
from holdfast.integrations.inspect_ai.solver import decoded_as_here

__all__ = ["harmful", "safe", "task", "useful"]


@registered
def harmful(
    file: str | None = None,
    judge: str | None = None,
    limit: int | None = None,
    columns: str | None = None,
    max_new_tokens: int = 64,
) -> Task:
    """Harmful requests: what share of them is answered (hs, its content and its garble).

    Args:
        file: Questions as ``--harmful`` takes them: a file, a kit, a hub id; the organism has own.
        judge: Who reads the answers, as ``--judge`` takes it.
        limit: Most questions read.
        columns: Columns of the file, such as prompt=goal.
        max_new_tokens: Longest answer, in tokens.
    """
    return _task("harmful", file, judge, limit, columns, max_new_tokens)


@registered
def safe(
    file: str | None = None,
    judge: str | None = None,
    limit: int | None = None,
    columns: str | None = None,
    max_new_tokens: int = 64,
) -> Task:
    """Questions that look scary and are harmless: what share is refused (over_refusal).

    The arguments are those of ``harmful``.
    """
    return _task("safe", file, judge, limit, columns, max_new_tokens)


@registered
def task(
    file: str | None = None,
    judge: str | None = None,
    limit: int | None = None,
    columns: str | None = None,
    max_new_tokens: int = 64,
) -> Task:
    """Questions of the user's task with answers: what share is right (fa).

    The arguments are those of ``harmful``.
    """
    return _task("task", file, judge, limit, columns, max_new_tokens)


@registered
def useful(
    file: str | None = None,
    judge: str | None = None,
    limit: int | None = None,
    columns: str | None = None,
    max_new_tokens: int = 64,
) -> Task:
    """Questions of what the model could do before: what share is right (usefulness).

    The arguments are those of ``harmful``.
    """
    return _task("useful", file, judge, limit, columns, max_new_tokens)


def _task(  # What the four tasks take, in their order.
    kind: Kind,
    file: str | None,
    judge: str | None,
    limit: int | None,
    columns: str | None,
    max_new_tokens: int,
) -> Task:
    file, columns = as_typed(file), as_typed(columns)
    items = _items(kind, file, columns, limit)
    return Task(
        dataset=MemoryDataset([sample_of(item) for item in items], file_of(file or ORGANISM)),
        setup=decoded_as_here(),
        solver=generate(),
        scorer=judged(kind, judge),
        config=GenerateConfig(max_tokens=max_new_tokens, temperature=0.0),
        name=kind,
    )


def _items(kind: Kind, file: str | None, columns: str | None, limit: int | None) -> list[Item]:
    """Return the questions of a file, or those that the organism brings."""
    questions: dict[str, Any] = {kind: file}
    config = EvaluateConfig(model="", limit=limit, columns=columns, **questions)
    check_given(config)
    config = with_kits(config)
    refuse_idle(config)
    if file is not None:
        with local_only([getattr(config, kind)]):
            return questions_of(config)
    if not _of_organism():
        raise ConfigError(
            f"nothing to ask: give the questions with -T file=FILE, as `holdfast evaluate` takes "
            f"them for `{kind}`"
        )
    from holdfast.organism.items import evaluation_items  # noqa: PLC0415  # Only for who asks.

    return [item for item in evaluation_items("test") if item.kind == kind][:limit]


def _of_organism() -> bool:
    try:
        return str(get_model()) == f"holdfast/{ORGANISM}"
    except ValueError:  # Who makes a task in Python may name the model later.
        return False
