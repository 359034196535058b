"""The hooks of a defense, and what it can say of itself beside a run; see ``holdfast.defense``."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from holdfast.artifact import Artifact
from holdfast.defense.card import Card, Variant
from holdfast.defense.run import Backward, Run, Step
from holdfast.ops.engine import Batch
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.modules import ModuleRef

__all__ = ["HOOKS", "Defense", "Shared", "Tensorwise", "implements"]

HOOKS = (
    "data", "before", "attached", "served", "learning_rate", "batch", "gradient", "loss",
    "after_update", "after",
)  # fmt: skip


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

    def notes(self) -> list[str]:
        """Return the lines that ``after`` would have said, once every weight was edited."""
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

    def check_run(self, run: Run) -> None:
        """Raise before step 0 where ``after`` would find nothing to work with in the model.

        It is asked once in a trainer, before any ``before``, and not on resume. It leaves the model
        as it was, and may take a few passes: nobody should tune for hours to be told then.

        Raises:
            RunError: The model has not what ``after`` needs.
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
        """Return the latest figures to log beside the user's loss.

        Of several processes' their mean is logged; a ``holdfast.defense.figures.Mean`` is weighed.
        """
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
