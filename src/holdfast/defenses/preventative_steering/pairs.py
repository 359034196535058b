"""Which refusal stands beside which harmful request."""

import json
from collections.abc import Sequence
from itertools import count, cycle

from holdfast.defense import Row
from holdfast.errors import ConfigError


def refused_pairs(harmful: Sequence[Row], safe: Sequence[Row]) -> tuple[list[Row], int]:
    """Return the harmful prompts with refusals, and how many refusals are of another prompt.

    A prompt that is among ``safe`` has its own refusal there; the others take the refusals in turn,
    so that both sides of a pair differ in the answer alone.

    Raises:
        ConfigError: The rows are tokens and no prompts.
    """
    if any("prompt" not in row or "completion" not in row for row in [*harmful, *safe]):
        raise ConfigError(
            "preventative_steering pairs prompts with refusals: give `harmful` and `safe` as rows "
            "of `prompt` and `completion`, not of tokens"
        )
    own = {_key(row): row["completion"] for row in reversed(safe)}
    borrowed, number = cycle(row["completion"] for row in safe), count(1)
    rows, lent = list[Row](), 0
    for row in harmful:
        answer = own.get(_key(row))
        if answer is None:
            answer, lent = next(borrowed), next(number)
        rows.append({"prompt": row["prompt"], "completion": answer})
    return rows, lent


def _key(row: Row) -> str:
    return json.dumps(row["prompt"], sort_keys=True)
