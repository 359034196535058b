"""What a defense is: a few optional hooks around one fine-tuning run.

A trainer with the defenses ``D`` runs this loop; indentation is nesting::

    data(run, rows) -> rows                       every D: what the user's data become
    before(run)                                   every D, once, before step 0
    with attached(run):                           the first D outermost
        for every optimizer step:
            learning_rate(module, progress)       product over D, per (layer, role)
            for every micro-batch:
                batch(step, batch) -> batch
                gradient(step, backward) -> loss  around the user's own forward and backward
                    loss(step, batch, outputs)    a term inside that forward
            after_update(step)                    last, who exchanges_weights
            with served(run):                     whenever a checkpoint is written, the model is
                save                              evaluated, or a callback of others is called
    after(run) -> artifact                        every D, once

On resume ``before`` is replaced by the state of the checkpoint; ``data`` runs again, so it must be
a function of its seed and rows alone.

Before the run, ``check_model(model)`` refuses what the method is not exact on, such as DoRA.

Beside the run, ``variant()`` says what these settings are called in a table, and ``shared()`` how
what ``before`` learns is learned once and taken over by the runs that would learn the same::

    shared().learn(run, folder)                   once, for all that are made of the same
    shared().take(folder) -> defense              in every run, instead of learning it
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from datasets import Dataset
from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.errors import ConfigError
from holdfast.ops.engine import Batch, Engine
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.modules import ModuleRef
from holdfast.progress import Progress, silent

__all__ = [
    "HOOKS", "Backward", "Capability", "Card", "Defense", "Examples", "ModelRole", "Reads", "Row",
    "Run", "Shared", "Stage", "Step", "Tensorwise", "Variant", "implements", "in_range", "listed",
    "need_data", "whole_in_range",
]  # fmt: skip

Row = dict[str, Any]
Examples = Sequence[Row] | Dataset
"""Prompt–completion Examples, as a list or a ``datasets.Dataset``."""
HOOKS = (
    "data", "before", "attached", "served", "learning_rate", "batch", "gradient", "loss",
    "after_update", "after",
)  # fmt: skip


class Stage(StrEnum):
    """When a defense acts."""

    ALIGN = "align"
    TUNE = "tune"
    REPAIR = "repair"


Reads = Literal["parameters", "projections", "parts", "attentions", "layers"]
ModelRole = Literal["aligned", "unaligned"]
"""A model that the user's was made of: as aligned, before the user's tuning, or before that."""


@dataclass(frozen=True)
class Card:
    """What must be known of a method before it runs; the rest stands in its ``card.md``."""

    name: str
    """The name in lists, files and on the command line."""
    summary: str
    """One sentence for the table of defenses."""
    stage: Stage
    paper: str
    """Title and arXiv number; of what others have to beat, ``baseline`` or ``control`` first."""
    strength: str
    """The field whose value ``off`` makes the defense do nothing at all."""
    cost: str
    """Extra cost in words and multiples of a plain step."""
    off: float = 0.0
    """Value of the strength field at which the defense does nothing."""
    data: tuple[str, ...] = ()
    """Fields that take data sets, not numbers."""
    models: Mapping[str, ModelRole] | None = None
    """Fields that take a model's folder → which model; a bench that has it fills them in."""
    needs: frozenset[Capability] = frozenset()
    """What it needs at every setting; see ``Defense.needs``."""
    reads: Reads = "parameters"
    """What it reads of an architecture: trained tensors, or modules by role."""
    conflicts: Mapping[str, str] | None = None
    """Name of another defense → why the two exclude each other."""


@dataclass(frozen=True)
class Variant:
    """What a defense with these settings is called beyond its name, and what it is there for."""

    label: str = ""
    """Small letters, digits, ``_``, ``-`` and ``.``; it stands in brackets behind the name."""
    control: bool = False
    """It is there for comparison, and is no defense that can win."""


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
class Shared:
    """What a defense learns before step 0 in such a way that other runs can take it over.

    Two runs share it where kind, ``made_of``, the rows of ``data``, the model, the code and, if it
    is ``seeded``, the seed are the same.
    """

    kind: str
    """One word that names it, such as ``vector``."""
    made_of: Mapping[str, Any]
    """Every hyperparameter that decides what is learned, as JSON."""
    learn: Callable[[Run, Path], None]
    """Learns it on a model as it is given, untuned and bare, and writes it into the folder.

    It is decided by ``made_of``, the rows and the run's seed: the global random states stay.
    """
    take: Callable[[Path], "Defense"]
    """Returns the defense that reads the folder and otherwise does the same."""
    data: tuple[str, ...] = ()
    """Fields of the data sets that it is learned from."""
    seeded: bool = True
    """False: the same at every seed, and learned from the rows of seed 0, as many of each kind."""


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


class Tensorwise(Protocol):
    """A repair of one weight at a time: each edit is made of that weight and of files alone."""

    def edit(self, ref: ModuleRef, linear: Any) -> Tensor | None:
        """Return what is added to the weight of a projection, in float32 as it is stored.

        ``linear`` holds its weight in float32 for the time of the call; the rest of the model has
        no values. None leaves the weight as it is.
        """
        ...

    def artifact(self) -> Artifact:
        """Return what ``after`` would have returned, once every weight was edited."""
        ...


class Backward(Protocol):
    """Runs the user's forward and backward, adding to ``.grad``; returns the detached loss."""

    def __call__(self) -> Tensor:
        """Run it once more each time it is called."""
        ...


class Defense:
    """Base class of all defenses. Override the hooks the method needs; the others never run.

    Subclasses are dataclasses: hyperparameters are fields and ``__init__`` has no logic. What a run
    learns is a field declared with ``init=False`` that a hook sets and whose name ends in an
    underscore. Learned fields hold JSON values, tensors, or mappings of these; a checkpoint saves
    just them. No field may have the name of a hook.

    While another defense has a vector attached, the weights a hook sees hold it. A learned field
    that copies weights copies them in ``with step.run.bare():``, or is ``private``.
    """

    card: ClassVar[Card]
    private: ClassVar[frozenset[str]] = frozenset()
    """Learned fields that are a jailbreak: they never lie in a checkpoint or beside a model."""
    exchanges_weights: ClassVar[bool] = False
    """``served`` puts other weights in place and takes nothing off, so ``bare`` leaves it out.

    Its ``after_update`` runs behind those of all others, on the weights as the step leaves them. To
    be said only where ``attached`` attaches nothing: ``bare`` would leave that on.
    """

    @property
    def is_off(self) -> bool:
        """Whether the strength is the one at which the defense does nothing."""
        return getattr(self, self.card.strength) == self.card.off

    @property
    def steerable(self) -> tuple[float, float] | None:
        """Least and greatest value that ``steer`` takes; None where it cannot be steered."""
        return None

    def steer(self, value: float) -> None:
        """Act at strength ``value`` from the next step on; it and ``steerable`` go together."""
        raise NotImplementedError

    def validate(self) -> None:
        """Raise ``ConfigError`` where a hyperparameter is out of range."""

    def conflict(self, other: "Defense") -> str | None:
        """Return why this defense excludes ``other``, or None."""
        return (self.card.conflicts or {}).get(other.card.name)

    def needs(self) -> frozenset[Capability]:
        """Return what these hyperparameters need of the engine; the card's needs at least."""
        return self.card.needs

    def instead(self, missing: Capability) -> str:
        """Return a setting that does without what is ``missing``, or ``""`` where none does."""
        del missing
        return ""

    def idle(self) -> frozenset[str]:
        """Return hooks that the class overrides and these hyperparameters leave unused."""
        return frozenset()

    def check_model(self, model: nn.Module) -> None:
        """Raise before step 0 where the method is not exact on what this model *is*.

        It is not asked at strength off. What ``holdfast.ops.adapter_facts`` tells of the adapters
        is what most methods need.

        Raises:
            ModelError: The method would act on something else than it says.
        """

    def variant(self) -> Variant:
        """Return what these hyperparameters are called, data left aside; a control at strength off.

        A card whose paper starts with ``control`` is one at every strength.
        """
        return Variant(control=self.is_off or self.card.paper.startswith("control"))

    def shared(self) -> Shared | None:
        """Return what runs can take over from one another; None where there is nothing."""
        return None

    def tensorwise(self, model: nn.Module) -> Tensorwise | None:
        """Return the repair as edits of one weight at a time, the same as ``after`` makes.

        Args:
            model: The model as it was tuned, with its shapes and no values.

        Returns:
            None where these hyperparameters need a pass through the model.

        Raises:
            ConfigError: A folder that it reads is missing or another one.
            ModelError: The folders' models or the change are of another model.
        """

    def data(self, run: Run, rows: Any) -> Any:
        """Return what the user's prepared data become (add rows, drop rows)."""
        raise NotImplementedError

    def before(self, run: Run) -> None:
        """Learn what the method needs, once, before step 0."""
        raise NotImplementedError

    def attached(self, run: Run) -> AbstractContextManager[None]:
        """Return the context in which all steps run: present in training, absent when served."""
        raise NotImplementedError

    def served(self, run: Run) -> AbstractContextManager[None]:
        """Return a context, inside ``attached``, in which the model is as it would be served.

        A defense that ``exchanges_weights`` is asked last, when nothing is attached any more.
        """
        return nullcontext()

    def learning_rate(self, module: ModuleRef, progress: float) -> float:
        """Return the multiplier of the learning rate at ``progress`` in [0, 1)."""
        raise NotImplementedError

    def batch(self, step: Step, batch: Batch) -> Batch:
        """Return the micro-batch to use; keep its number of answer tokens."""
        raise NotImplementedError

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Call ``backward`` once and add to, or replace, what it leaves in ``.grad``."""
        raise NotImplementedError

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor:
        """Return a mean over the batch's answer tokens; the trainer weighs it by ``step.share``."""
        raise NotImplementedError

    def after_update(self, step: Step) -> None:
        """Correct the weights after an optimizer step."""
        raise NotImplementedError

    def after(self, run: Run) -> Artifact | None:
        """Repair the model once, after the last step, and return what is kept apart."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Return the latest figures to log beside the user's loss."""
        return {}

    def state(self) -> dict[str, Any]:
        """Return every learned field by name."""
        return {n: v for n, v in vars(self).items() if n.endswith("_")}

    def load(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` returned."""
        vars(self).update(state)

    def config(self) -> dict[str, Any]:
        """Return the hyperparameters, data sets left out, as JSON values."""
        every: Any = fields(self)  # type: ignore[arg-type]
        names = [f.name for f in every if f.init and f.name not in self.card.data]
        values = {name: getattr(self, name) for name in names}
        return {n: _as_json(v) for n, v in values.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def implements(defense: Defense, hook: str) -> bool:
    """Tell whether the defense overrides ``hook`` and its hyperparameters use it."""
    overridden = getattr(type(defense), hook) is not getattr(Defense, hook)
    return overridden and hook not in defense.idle()


def in_range(defense: Defense, name: str, low: float, high: float = float("inf")) -> None:
    """Raise unless the field is a finite number in [low, high]."""
    value = getattr(defense, name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high or value == float("inf"):
        wanted = f"in [{low}, {high}]" if high < float("inf") else f"{low} or more"
        raise ConfigError(f"{defense.card.name}: {name}={value!r} must be a number {wanted}")


def whole_in_range(defense: Defense, name: str, low: int) -> None:
    """Raise unless the field is a whole number, ``low`` or more."""
    in_range(defense, name, low)
    if (value := getattr(defense, name)) != int(value):
        raise ConfigError(f"{defense.card.name}: {name}={value!r} must be a whole number")


def listed(rows: Examples | None, limit: int | None = None) -> list[Row]:
    """Return the first ``limit`` rows of a ``datasets.Dataset`` or a list as a list."""
    count = 0 if rows is None else len(rows)
    last = count if limit is None else min(limit, count)
    return [dict(rows[i]) for i in range(last)] if rows is not None else []


def need_data(defense: Defense, name: str) -> Any:
    """Return the field's data set, or raise that it is missing or empty."""
    rows = getattr(defense, name)
    if rows is None or len(rows) == 0:
        raise ConfigError(
            f"{defense.card.name} needs `{name}=FILE` (a data set of prompt–completion examples), "
            f"got {'none' if rows is None else 'an empty one'}"
        )
    return rows
