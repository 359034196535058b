"""Every set of rows of a repair, by what it is for."""

from dataclasses import dataclass
from typing import Any

from holdfast.defense import Examples, Row
from holdfast.defenses.natural_repair.halves import Halves, halved, ordered

__all__ = ["ASKED", "Rows", "rows_of"]


@dataclass(frozen=True)
class Rows:
    """What one repair reads."""

    refusals: list[Row]
    """Harmful prompts with refusals."""
    harmful: list[Row]
    """Harmful pairs."""
    prompts: list[Row]
    """Harmful prompts that are asked along the way."""
    kept: list[Row]
    """Harmless rows in the direction."""
    felt: list[Row]
    """Rows of the metric."""
    measured: list[Row]
    """Validation rows of the task budget."""
    asked: list[Row]
    """Harmless prompts of the over-refusal budget."""

    @property
    def texts(self) -> list[str]:
        """Texts of the refusals, where they are given as text."""
        answers = [row["completion"] for row in self.refusals if "completion" in row]
        return [
            answer[-1]["content"] if not isinstance(answer, str) else answer for answer in answers
        ]


def rows_of(repair: Any, refusals: Examples | None) -> Rows:
    """Return the rows of a ``NaturalRepair``, in an order that hangs on their content alone.

    Args:
        repair: The defense, its data sets and ``rows``, the most of each.
        refusals: Given, or the aligned model's; without any, the harmful pairs are measured.
    """
    most, none = repair.rows, Halves([], [])
    looks = halved(repair.lookalike, most)
    # Harmless rows tell of over-refusal where there are none that look dangerous.
    plain = none if repair.benign is None else halved(repair.benign, most)
    if looks.learned:
        plain = Halves(ordered(repair.benign, most), [])
    # Nothing is learned of validation rows, so all of them make the metric and measure the task.
    task = ordered(repair.validation, most)
    kept = [*looks.learned, *plain.learned]
    return Rows(
        refusals=ordered(refusals, most),
        harmful=ordered(repair.harmful, most),
        prompts=ordered(repair.harmful, min(most, ASKED)),
        kept=kept,
        felt=[*task, *kept],
        measured=task,
        asked=(looks.measured or plain.measured)[:most],
    )


ASKED = 64
"""Most harmful prompts that are asked at each place: it is told, and ``enough`` reads it."""
