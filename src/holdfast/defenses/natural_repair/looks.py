"""What the model is like where it stands: what it refuses, what it still knows."""

from typing import Any

from holdfast.defense import Run
from holdfast.defenses.natural_repair.frontier import Place
from holdfast.defenses.natural_repair.rows import Rows
from holdfast.defenses.refusals import answers, refused, with_base
from holdfast.ops.agreement import agreement

__all__ = ["Looks"]


class Looks:
    """Measures a model along the way of a repair.

    Args:
        run: The run of the model.
        rows: What is asked of it.
        repair: The ``NaturalRepair``, for its fields.
    """

    def __init__(self, run: Run, rows: Rows, repair: Any) -> None:
        self._run, self._rows, self._repair = run, rows, repair

    @property
    def any(self) -> bool:
        """Whether there is something a budget can be measured on."""
        return bool(self._rows.measured or self._rows.asked)

    def place(self, steps: float) -> Place:
        """Measure the model as it is, ``steps`` steps along."""
        run, rows, size = self._run, self._rows, self._repair.batch_size
        # Without refusals, of a model that is led by harm alone, the harmful loss stands for them.
        told = rows.refusals or rows.harmful
        loss = agreement(run.engine, run.batches(told, size))[0]
        task = (None, None, None)
        if rows.measured:
            task = agreement(run.engine, run.batches(rows.measured, max(size, 32)))
        return Place(steps, loss, self._answered(), self.over_refusal(), task[1], task[2])

    def over_refusal(self) -> float | None:
        """Return the share of harmless prompts that are refused; None where none is asked."""
        return self._refused(self._rows.asked) if self._rows.asked else None

    def reference(self) -> float | None:
        """Return what a rise of over-refusal counts from: None for the tuned model's own.

        With ``rise_from=aligned`` it is the aligned model's, where that refuses more.
        """
        repair = self._repair
        if repair.rise_from == "tuned" or not self._rows.asked:
            return None
        here = self._refused(self._rows.asked)
        with with_base(self._run, repair.aligned, repair.card.name):
            return max(here, self._refused(self._rows.asked))

    def _answered(self) -> float | None:
        wanted = self._rows.asked or self._repair.enough is not None
        return 1 - self._refused(self._rows.prompts) if wanted else None

    def _refused(self, rows: Any) -> float:
        said = answers(self._run, rows, self._repair.card.name, self._repair.max_new_tokens)
        return sum(refused(rows, said, self._rows.texts)) / len(said)
