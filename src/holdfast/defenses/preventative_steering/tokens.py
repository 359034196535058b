"""Which tokens are shifted: all of them, or those from which an answer is predicted."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal

from torch import Tensor, nn

from holdfast.analysis.rows.components.states import moved
from holdfast.defenses.attachments import Switch
from holdfast.errors import RunError
from holdfast.ops.batches import IGNORED
from holdfast.ops.engine import Batch

Positions = Literal["all", "answers"]


def predicting(batch: Batch) -> Tensor:
    """Return where an answer's token is predicted, bool of shape (batch, tokens)."""
    asked = batch["labels"] != IGNORED
    found = asked.roll(-1, dims=1)
    found[:, -1] = False
    return found


class UsersTokens:
    """Where the answers of the user's latest micro-batch are predicted.

    The user's own pass, and what is recomputed of it, run in ``train()``; extra passes of other
    defenses run in ``eval()``, on rows of their own, and are not moved.
    """

    def __init__(self) -> None:
        self.now: Tensor | None = None

    def __call__(self, module: nn.Module, hidden: Tensor) -> Tensor | None:
        """Return the mask of the user's pass.

        Raises:
            RunError: The pass is on other rows than the batch that was seen.
        """
        if not module.training:
            return None
        if self.now is None or self.now.shape != hidden.shape[:2]:
            seen = None if self.now is None else tuple(self.now.shape)
            raise RunError(
                "preventative_steering: `positions=answers` has to know which tokens a pass is on; "
                f"it is on {tuple(hidden.shape[:2])}, and the batch has {seen}: use "
                "`positions=all`, or a trainer whose loss is one pass on its batch"
            )
        return self.now


def switch(model: nn.Module, by: Mapping[int, Tensor], positions: Positions) -> Switch:
    """Return what turns a shift on for a pass of rows whose labels are known."""

    def on(batch: Batch) -> AbstractContextManager[None]:
        mask = predicting(batch) if positions == "answers" else None
        return moved(model, by, None if mask is None else lambda *_: mask)

    return on
