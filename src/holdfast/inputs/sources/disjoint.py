"""Rows that teach and questions that test must not be the same: evaluation.md, rule 8."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdfast.data.kits import is_kit
from holdfast.data.splits import prompt_key
from holdfast.errors import DataError
from holdfast.evaluation import Item
from holdfast.inputs.rows import EVALUATION, ORGANISM, Source

__all__ = ["kept_apart", "shared_prompts", "shared_rows"]

_TAUGHT = "they measure what the run was taught"
_CHOSEN = "what these rows choose, the questions do not test"
_CHOOSING = (EVALUATION, "validation")
"""Roles whose rows choose weights or a strength, and teach nothing."""


def kept_apart(sources: Mapping[str, Source], items: Sequence[Item]) -> dict[str, Source]:
    """Return the sources, those of kits without the prompts that are also asked as questions.

    Published sets hold one another's prompts (StrongREJECT has some of AdvBench's). What a user
    gives as a file is left as it is; ``shared_prompts`` tells of it.

    Raises:
        DataError: Nothing of a kit would be left.
    """
    asked = {prompt_key({"prompt": item.prompt}) for item in items}
    return {
        role: _without(each, asked) if is_kit(each.path) else each
        for role, each in sources.items()
    }  # fmt: skip


def _without(each: Source, asked: set[Any]) -> Source:
    rows: Any = each.rows
    kept = [n for n, row in enumerate(rows) if prompt_key(row) not in asked]
    left_out = len(rows) - len(kept)
    if not left_out:
        return each
    if not kept:
        raise DataError(
            f"{each.path}: all of its prompts are asked as questions too, so nothing is left for "
            f"`{each.role}`: test with another set"
        )
    told = f"{left_out} of {len(rows)} prompts are asked as questions too and are left out"
    return replace(each, rows=rows.select(kept), notes=(*each.notes, told))


def shared_prompts(sources: Mapping[str, Source], items: Sequence[Item]) -> list[str]:
    """Return a warning for each set of questions that asks what other rows have taught."""
    asked: dict[str, set[Any]] = {}
    for item in items:
        asked.setdefault(item.kind, set()).add(prompt_key({"prompt": item.prompt}))
    found: list[str] = []
    for role, each in sources.items():
        if each.path == ORGANISM:
            continue
        taught = {prompt_key(row) for row in _rows(each)}
        for kind, prompts in asked.items():
            both = len(taught & prompts)
            if both:
                found.append(
                    f"{both} of {len(prompts)} {kind} questions stand in `{role}` ({each.path}) "
                    f"too: {_CHOSEN if role in _CHOOSING else _TAUGHT}; remove them from one"
                )
    return found


def shared_rows(sources: Mapping[str, Source]) -> list[str]:
    """Return a warning for each set of rows that teaches prompts of the evaluation data."""
    measured = sources.get(EVALUATION)
    if measured is None or measured.path == ORGANISM:
        return []
    prompts = [prompt_key(row) for row in _rows(measured)]
    found: list[str] = []
    for role, each in sources.items():
        if role == EVALUATION or each.path == ORGANISM:
            continue
        taught = {prompt_key(row) for row in _rows(each)}
        if both := sum(prompt in taught for prompt in prompts):
            found.append(
                f"{both} of {len(prompts)} rows of `{EVALUATION}` ({measured.path}) have prompts "
                f"that stand in `{role}` ({each.path}) too: their loss tells how well the run "
                "knows its own rows; remove them from one"
            )
    return found


def _rows(each: Source) -> Any:
    return each.rows
