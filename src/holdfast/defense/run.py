"""What a defense sees: of a run outside its steps, and of one micro-batch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from datasets import Dataset
from torch import Tensor, nn

from holdfast.ops.engine import Batch, Engine
from holdfast.progress import Progress, silent

__all__ = ["Backward", "Examples", "Row", "Run", "Step"]

Row = dict[str, Any]
Examples = Sequence[Row] | Dataset
"""Prompt–completion Examples, as a list or a ``datasets.Dataset``."""


@dataclass(frozen=True)
class Run:
    """What a defense sees of a run outside its steps."""

    model: nn.Module
    engine: Engine
    prepare: Callable[[Examples], Any]
    """Tokenizes Examples exactly as the user's data are; returns a sequence of rows."""
    collate: Callable[[list[Row]], Batch]
    """Pads rows into one batch exactly as the user's are."""
    seed: int
    weight_decay: float = 0.0
    say: Callable[[str], None] = lambda _: None
    """Takes one line on what was found."""
    progress: Progress = silent
    """Takes how far a stage is; ``counted`` and ``ticking`` of ``holdfast.progress`` tell it."""
    bare: Callable[[], AbstractContextManager[None]] = nullcontext
    """A context with nothing attached: learned state that copies weights copies them here."""
    optimizer: Callable[[], Any] = lambda: None
    """Returns the optimizer that is really used, without wrappers; None before there is one."""
    called: Callable[[], nn.Module | None] = lambda: None
    """Returns what training calls: the model in its wrappers; None before there is one."""
    users_loss: Callable[[], float | None] = lambda: None
    """Returns the loss of two of the user's rows, None where it is a stock loss of outputs."""
    own: tuple[Callable[[Examples], Any], Callable[[list[Row]], Batch]] | None = None
    """``prepare`` and ``collate`` of the defender's rows, where the user's are not for them."""
    tokenizer: Any = None
    """The model's tokenizer, for who lets the model answer; None where nobody gave one."""
    _ready: dict[tuple[int, int], tuple[Any, list[Batch]]] = field(
        default_factory=dict[tuple[int, int], tuple[Any, list[Batch]]], repr=False
    )

    def encoded(self, rows: Examples) -> Any:
        """Tokenize Examples of the defender, whatever the trainer makes of the user's."""
        return self.own[0](rows) if self.own else self.prepare(rows)

    def batches(self, rows: Examples, size: int) -> list[Batch]:
        """Return Examples of the defender as batches of ``size``, in the order given.

        The batches of one data set (by identity) are made once per run.
        """
        key = (id(rows), size)
        if key not in self._ready:
            ready = self.encoded(rows)
            collate = self.own[1] if self.own else self.collate
            items = [dict(ready[i]) for i in range(len(ready))]
            made = [collate(items[i : i + size]) for i in range(0, len(items), size)]
            self._ready[key] = (rows, made)  # Held, so that no other data set gets its identity.
        return self._ready[key][1]


@dataclass(frozen=True)
class Step:
    """What a hook sees during one micro-batch."""

    run: Run
    """The model, its engine and the way data are prepared."""
    number: int
    """Optimizer steps finished so far."""
    total: int
    """Optimizer steps of the whole run."""
    micro: int = 0
    """Index of this micro-batch within its optimizer step."""
    last: bool = True
    """True for the last micro-batch of an optimizer step."""
    share: float = 1.0
    """Fraction of the optimizer step's answer tokens in this micro-batch; they sum to 1."""

    @property
    def model(self) -> nn.Module:
        """The unwrapped model. Hooks may read its weights and gradients."""
        return self.run.model

    @property
    def engine(self) -> Engine:
        """The engine of the run's model."""
        return self.run.engine


class Backward(Protocol):
    """Runs the user's forward and backward, adding to ``.grad``; returns the detached loss."""

    def __call__(self) -> Tensor:
        """Run it once more each time it is called."""
        ...
