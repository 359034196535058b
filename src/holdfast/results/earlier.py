"""Fields of earlier result files, read as what stands in their place now."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.artifact import Block, Curve, Table

__all__ = ["as_blocks"]

SCORES = {
    "harmful_score": "harmful score",
    "harmful_loss": "harmful loss, nats per token",
    "task_score": "task score",
}
SIZES = {"absolute_sum": "sum of |ε| in the layer", "rms": "root mean square of ε, ± spread"}
FIELDS = ("frontier", "safety_coefficients", "gate")


def as_blocks(given: Any) -> Any:
    """Return a defense's diagnostics with blocks instead of the fields that came before them.

    Raises:
        ValueError: One of these fields is not as it was written.
    """
    if not isinstance(given, Mapping) or given.keys().isdisjoint(FIELDS):
        return given
    blocks: dict[str, Block] = {}
    try:
        if points := given.get("frontier"):
            note = "On validation data, after training. The ring marks the scale that was chosen."
            told = ("Frontier of the scale", "scale", note)
            blocks["frontier"] = _curve(told, SCORES, points)
        if rows := given.get("safety_coefficients"):
            note = "The sum grows with a layer's width; the root mean square does not."
            told = ("Layer safety coefficients", "layer", note)
            blocks["safety_coefficient"] = _curve(told, SIZES, rows)
        if gate := given.get("gate"):
            blocks["gate"] = Table("Check before tuning", tuple(gate), (tuple(gate.values()),))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not as holdfast writes it ({error!r})") from error
    return {**{k: v for k, v in given.items() if k not in FIELDS}, "blocks": blocks}


def _curve(
    told: tuple[str, str, str], titles: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> Curve:
    title, axis, note = told
    spread = tuple(row.get("rms_spread") for row in rows)
    return Curve(
        title,
        axis,
        tuple(row[axis] for row in rows),
        {told: tuple(row.get(key) for row in rows) for key, told in titles.items()},
        note,
        marked=next((row[axis] for row in rows if row.get("chosen")), None),
        spread={titles["rms"]: spread} if "rms" in titles else {},
    )
