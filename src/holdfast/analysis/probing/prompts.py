"""Prompts of the analysis as token ids, checked before anything is measured on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.data.chat import encode_prompt
from holdfast.data.splits import check_disjoint, prompt_key
from holdfast.defense import Examples, Run, listed
from holdfast.errors import DataError
from holdfast.ops.batches import IGNORED

__all__ = ["MIN_PROMPTS", "Prompts", "of_run", "with_tokenizer"]

MIN_PROMPTS = 20
"""Fewest prompts of a class; below it a held-out split says nothing. Ours."""
_INSTEAD = "raise the trainer's max_length, or run `holdfast analyze` first and give modules=FILE"
Encode = Callable[[Sequence[Mapping[str, Any]]], list[list[int]]]


@dataclass(frozen=True)
class Prompts:
    """Token ids of each prompt, ending where the model is about to answer."""

    harmful: list[list[int]]
    benign: list[list[int]]
    harmful_ood: list[list[int]]
    """Harmful prompts of a kind that the probe is not trained on; empty where there are none."""
    benign_ood: list[list[int]]

    @classmethod
    def checked(
        cls,
        encode: Encode,
        harmful: Examples,
        benign: Examples,
        harmful_ood: Examples | None = None,
        benign_ood: Examples | None = None,
    ) -> "Prompts":
        """Return the prompts without repeats.

        Raises:
            DataError: Fewer than 20 different prompts of a class, one class only, a row without a
                prompt, or a prompt that stands in two of the sets.
        """
        given = {"harmful": harmful, "benign": benign}
        given |= {"out-of-domain harmful": harmful_ood, "out-of-domain benign": benign_ood}
        sets = {name: _different(name, listed(rows)) for name, rows in given.items()}
        if bool(sets["out-of-domain harmful"]) != bool(sets["out-of-domain benign"]):
            raise DataError(
                "an out-of-domain test needs harmful and benign prompts, got one class only: "
                "give both or neither"
            )
        for name, rows in sets.items():
            if len(rows) < MIN_PROMPTS and (rows or not name.startswith("out")):
                raise DataError(
                    f"{name}: has {len(rows)} different prompts, expected {MIN_PROMPTS} or more: "
                    "the security probe needs both classes, and some of each to test itself on"
                )
        check_disjoint(sets)
        return cls(*(encode(rows) for rows in sets.values()))


def _different(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows whose prompts are new, so that no repeat lies on both sides of a split."""
    first: dict[tuple[tuple[str, str], ...], Mapping[str, Any]] = {}
    for number, row in enumerate(rows, start=1):
        if not row.get("prompt"):
            raise DataError(
                f"{name}, row {number}: has no prompt; the analysis reads Examples, whose prompt "
                "is a list of messages, and no token ids"
            )
        first.setdefault(prompt_key(row), row)
    return list(first.values())


def with_tokenizer(tokenizer: Any) -> Encode:
    """Encode prompts by the tokenizer's chat template, generation prompt appended."""
    return lambda rows: [encode_prompt(row["prompt"], tokenizer) for row in rows]


def of_run(run: Run) -> Encode:
    """Encode Examples as the run prepares the user's data and cut each before its answer.

    Raises:
        DataError: Where the answer starts does not show: the run's rows have no labels, or are cut
            off before the answer.
    """

    def encode(rows: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        if not rows:
            return []
        ready = run.encoded([dict(row) for row in rows])
        if len(ready) != len(rows):  # TRL drops a row that max_length leaves without its answer.
            raise DataError(
                f"the trainer drops {len(rows) - len(ready)} of {len(rows)} rows of the analysis; "
                f"{_INSTEAD}"
            )
        return [_before_answer(dict(ready[i]), i + 1) for i in range(len(ready))]

    return encode


def _before_answer(row: Mapping[str, Any], number: int) -> list[int]:
    # The row's own labels: a collator may pad, or put labels on the prompt too.
    labels = list(row.get("labels") or [])
    start = next((i for i, label in enumerate(labels) if label != IGNORED), 0)
    if start == 0:
        raise DataError(
            f"prompt {number} of the analysis: the row that the trainer makes of it, "
            f"{len(row['input_ids'])} tokens, does not show where its answer starts; "
            f"{_INSTEAD}"
        )
    return list(row["input_ids"])[:start]
