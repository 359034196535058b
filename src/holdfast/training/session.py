"""One call of ``train()``: runs the hooks in order, counts them, saves and restores their state."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save as to_bytes
from torch import Tensor

from holdfast.artifact import Artifact, load_state, save_state, split_state
from holdfast.defense import Backward, Defense, Run, Step, implements
from holdfast.errors import ConfigError
from holdfast.ops.engine import Batch
from holdfast.ops.modules import ModuleRef
from holdfast.ops.randomness import derived_seed, isolated_rng
from holdfast.training.trace import Trace

__all__ = ["Session"]

STATE_FOLDER = "defenses"


class Session:
    """The defenses at work on one model, from ``before`` to ``after``."""

    def __init__(
        self, defenses: Sequence[Defense], run: Run, trace: Trace, private_folder: Path
    ) -> None:
        self.defenses = tuple(defenses)
        self.run = run
        self.trace = trace
        self.private_folder = private_folder
        self._attached = ExitStack()
        self._is_attached = False

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
        for defense in self.having("data"):
            with self._calling(defense, "data"):
                rows = defense.data(self.run, rows)
        return rows

    def begin(self, checkpoint: Path | None) -> None:
        """Run every ``before``, or restore what the checkpoint knows instead."""
        for defense in self.having("before") if checkpoint is None else ():
            with self._calling(defense, "before"):
                defense.before(self.run)
        if checkpoint is not None:
            self._load(checkpoint / STATE_FOLDER)

    def attach(self) -> None:
        """Enter every ``attached``, the first defense outermost."""
        self._is_attached = True
        for defense in self.having("attached"):
            with self._calling(defense, "attached"):
                self._attached.enter_context(defense.attached(self.run))

    def detach(self) -> None:
        """Leave every ``attached``; safe to call again."""
        self._is_attached = False
        self._attached.close()

    @contextmanager
    def served(self) -> Generator[None]:
        """Run the body with the model as it would be served, when something is attached."""
        with ExitStack() as stack:
            for defense in reversed(self.having("served") if self._is_attached else ()):
                with self._calling(defense, "served"):
                    stack.enter_context(defense.served(self.run))
            yield

    def batch(self, step: Step, batch: Batch) -> Batch:
        """Pass the user's micro-batch through the defenses."""
        for defense in self.having("batch"):
            with self.trace.running(defense, "batch"):
                batch = defense.batch(step, batch)
        return batch

    def gradient(self, step: Step, backward: Backward) -> Tensor:
        """Nest the defenses' gradients, the first outermost, around the user's own."""
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
        """Let the defenses correct the weights after an optimizer step."""
        for defense in self.having("after_update"):
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
                artifacts.append(made)
        return artifacts

    def save(self, checkpoint: Path) -> None:
        """Write every defense's learned state into the checkpoint; private state goes elsewhere.

        The checkpoint keeps only the hash of a private state, which lies in ``private_folder``.
        """
        for defense in self.defenses:
            state = defense.state()
            secret = {k: state.pop(k) for k in defense.private & state.keys()}
            if secret:
                name = f"{defense.card.name}-{_digest(secret)}"
                if not (self.private_folder / f"{name}.json").exists():
                    save_state(self.private_folder, name, secret)
                state["private"] = name
            save_state(checkpoint / STATE_FOLDER, defense.card.name, state)

    def _load(self, folder: Path) -> None:
        for defense in self.defenses:
            if not (folder / f"{defense.card.name}.json").exists():
                raise ConfigError(
                    f"cannot resume: the checkpoint {folder.parent} was written without "
                    f"{defense.card.name}; resume with the same defenses or start anew"
                )
            state = load_state(folder, defense.card.name)
            secret = state.pop("private", None)
            if secret is not None:
                state |= self._load_private(defense, str(secret))
            defense.load(state)

    def _load_private(self, defense: Defense, name: str) -> dict[str, Any]:
        if not (self.private_folder / f"{name}.json").exists():
            raise ConfigError(
                f"cannot resume: {defense.card.name}'s state {name} is kept apart from checkpoints "
                f"and is not in {self.private_folder}; give that folder as artifacts_dir="
            )
        state = load_state(self.private_folder, name)
        if not name.endswith(_digest(state)):
            raise ConfigError(f"cannot resume: {self.private_folder / name} was changed")
        return state


def _digest(state: dict[str, Any]) -> str:
    tensors, _ = split_state(state)
    return hashlib.sha256(to_bytes(tensors)).hexdigest()[:16]
