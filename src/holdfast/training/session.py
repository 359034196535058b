"""One call of ``train()``: runs the hooks in order, counts them, saves and restores their state."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast.artifact import Artifact
from holdfast.defense import Backward, Defense, Run, Step, implements
from holdfast.ops.engine import Batch
from holdfast.ops.engines.sharded import whole_values
from holdfast.ops.modules import ModuleRef
from holdfast.ops.randomness import derived_seed, isolated_rng
from holdfast.training.distributed.agreement import refuse_apart
from holdfast.training.distributed.first_learned import take_from_the_first
from holdfast.training.serving.copies import refuse_attached_copies
from holdfast.training.serving.learned_state import read_states, write_states
from holdfast.training.serving.optimizer import in_evaluation
from holdfast.training.serving.restarts import Start
from holdfast.training.trace import Trace

__all__ = ["Session"]


class Session:
    """The defenses at work on one model, from ``before`` to ``after``."""

    def __init__(
        self, defenses: Sequence[Defense], run: Run, trace: Trace, private_folder: Path
    ) -> None:
        self.defenses = tuple(defenses)
        self.run = replace(run, bare=self.bare)
        self.trace = trace
        self.private_folder = private_folder
        self._attached = ExitStack()
        self._is_attached = False
        self._served = set[str]()
        self.start: Start | None = None
        """What the trainer's loop began with, where it may have to begin again."""
        self.users_rows: int | None = None
        """How many rows the user's data has, before ``data``, where it can be counted."""

    def having(self, hook: str) -> list[Defense]:
        """Return the defenses that override ``hook``, in order."""
        return [d for d in self.defenses if implements(d, hook)]

    @contextmanager
    def _calling(self, defense: Defense, hook: str) -> Generator[None]:
        """Trace a hook outside the steps and give it a random state of its own."""
        seed = derived_seed(self.run.seed, defense.card.name, hook)
        with self.trace.running(defense, hook), isolated_rng(seed):
            yield

    def data(self, rows: Any) -> Any:
        """Return what the defenses make of the user's prepared rows."""
        self.users_rows = len(rows) if hasattr(rows, "__len__") else None
        for defense in self.having("data"):
            with self._calling(defense, "data"):
                rows = defense.data(self.run, rows)
        return rows

    def begin(self, checkpoint: Path | None) -> None:
        """Run every ``before``, or restore what the checkpoint knows instead."""
        for defense in self.having("check_run") if checkpoint is None else ():
            if not defense.is_off:
                with isolated_rng(self.run.seed):
                    defense.check_run(self.run)
        for defense in self.having("before") if checkpoint is None else ():
            with self._calling(defense, "before"):
                defense.before(self.run)
        if checkpoint is not None:
            read_states(self.defenses, checkpoint, self.private_folder)
        take_from_the_first(self.run.engine, self.defenses, self.run.say)
        refuse_apart(self.run.engine, self.defenses, "what goes before the steps", figures=True)

    def attach(self) -> None:
        """Enter every ``attached``, the first defense outermost; what was attached leaves first."""
        self.detach()
        self._is_attached = True
        for defense in self.having("attached"):
            with self._calling(defense, "attached"):
                self._attached.enter_context(defense.attached(self.run))

    def detach(self) -> None:
        """Leave every ``attached``; safe to call again."""
        self._attached.close()  # What leaves last may still have to look below what left later.
        self._is_attached = False

    @contextmanager
    def served(self) -> Generator[None]:
        """Run the body with the model as it would be served, when something is attached."""
        with ExitStack() as stack:
            if self._is_attached and self.having("served") and not self._served:
                run = self.run
                stack.enter_context(in_evaluation(run.optimizer(), run.engine.parameters()))
            stack.enter_context(self.bare())  # Whatever else is exchanged is bare weights.
            self._serve(stack, self.having("served"))
            yield

    @contextmanager
    def bare(self) -> Generator[None]:
        """Run the body with nothing attached; inside itself it has nothing left to take off."""
        with ExitStack() as stack:
            self._serve(stack, [d for d in self.having("served") if not d.exchanges_weights])
            yield

    def _serve(self, stack: ExitStack, defenses: list[Defense]) -> None:
        """Enter ``served`` of those that are not in it by now, the innermost first."""
        for defense in reversed(defenses) if self._is_attached else ():
            if defense.card.name not in self._served:
                with self._calling(defense, "served"):
                    stack.enter_context(defense.served(self.run))
                self._served.add(defense.card.name)
                stack.callback(self._served.discard, defense.card.name)

    def batch(self, step: Step, batch: Batch) -> Batch:
        """Pass the user's micro-batch through the defenses."""
        for defense in self.having("batch"):
            with self.trace.running(defense, "batch"):
                batch = defense.batch(step, batch)
        return batch

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Nest the defenses' gradients, the first outermost, around the user's own."""
        backward = self.trace.called_in(backward, self.having("loss"), "loss")
        for defense in reversed(self.having("gradient")):
            backward = self._around(defense, step, backward)
        return backward()

    def _around(self, defense: Defense, step: Step, inner: Backward) -> Backward:
        def backward() -> Tensor:
            with self.trace.running(defense, "gradient"):
                return defense.gradient(step, inner)

        return backward

    def loss(self, step: Step, batch: Batch, outputs: Any) -> Tensor | float:
        """Return the sum of the defenses' terms, weighed by the micro-batch's share."""
        total: Tensor | float = 0.0
        for defense in self.having("loss"):
            with self.trace.running(defense, "loss"):
                total = total + step.share * defense.loss(step, batch, outputs)
        return total

    def after_update(self, step: Step) -> None:
        """Let the defenses correct the weights after an optimizer step, who exchanges them last."""
        for defense in sorted(self.having("after_update"), key=lambda d: d.exchanges_weights):
            with self.trace.running(defense, "after_update"):
                defense.after_update(step)

    def multipliers(self, module: ModuleRef, total: int) -> tuple[float, ...]:
        """Return the product of the defenses' multipliers at each of ``total`` steps."""
        out = [1.0] * total
        for defense in self.having("learning_rate"):
            with self.trace.running(defense, "learning_rate"):
                steps = (defense.learning_rate(module, s / total) for s in range(total))
                out = [a * b for a, b in zip(out, steps, strict=True)]
        return tuple(out)

    def after(self) -> list[Artifact]:
        """Run every ``after`` and return the artifacts."""
        artifacts: list[Artifact] = []
        for defense in self.having("after"):
            with self._calling(defense, "after"):
                made = defense.after(self.run)
            if made is not None:
                artifacts.append(replace(made, tensors=whole_values(made.tensors)))
        refuse_apart(self.run.engine, self.defenses, "what goes behind the steps")
        return artifacts

    def save(self, checkpoint: Path) -> None:
        """Write every defense's learned state into the checkpoint; private state goes elsewhere.

        The first process writes, and the others must hold the same.
        """
        refuse_apart(self.run.engine, self.defenses, f"the steps up to {checkpoint.name}")
        states = [(defense, whole_values(defense.state())) for defense in self.defenses]
        if self.run.engine.rank > 0:
            return
        if self._is_attached and self.having("served"):
            refuse_attached_copies(self.run, states)
        write_states(states, checkpoint, self.private_folder)
