"""The one Trainer subclass of the library: it runs defenses and knows nothing of any method."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback

from holdfast.artifact import Artifact
from holdfast.defense import Capability, Defense, Run, Step
from holdfast.errors import ConfigError
from holdfast.ops.engine import LocalEngine
from holdfast.training import compat
from holdfast.training.compat import SFTTrainer
from holdfast.training.compose import composed, low_precision, refuse_missing
from holdfast.training.divergence import diverged
from holdfast.training.learning_rates import Multipliers, rates, scheduler_with, split_groups
from holdfast.training.looks.counters import counted_once
from holdfast.training.looks.suited import refuse_unsuited, suited_run
from holdfast.training.looks.users_rows import held_by
from holdfast.training.serving.callbacks import serving_callbacks
from holdfast.training.serving.places import artifacts_folder
from holdfast.training.serving.trainer import ServingTrainer, seen_by
from holdfast.training.session import Session
from holdfast.training.trace import Trace

__all__ = ["SecureMixin", "SecureSFTTrainer", "SecureTrainer", "protect"]


class SecureMixin(ServingTrainer):
    """Adds ``defenses`` to a ``transformers.Trainer`` class; mix it in before that class."""

    def __init__(
        self,
        *args: Any,
        defenses: Sequence[Defense] = (),
        artifacts_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.take_defenses(defenses, artifacts_dir)

    def take_defenses(
        self, defenses: Sequence[Defense], artifacts_dir: str | Path | None = None
    ) -> None:
        """Check the list and make it this trainer's own.

        Args:
            defenses: The first is outermost; see ``holdfast.defense`` for the loop.
            artifacts_dir: Where private state (a security vector) lies, apart from the checkpoints.
                Default: the output folder's name with ``-artifacts``.
        """
        self.defenses = composed(defenses)
        self.artifacts_dir = artifacts_folder(self, artifacts_dir)
        self.artifacts: list[Artifact] = []
        self.trace = Trace()
        self.session: Session | None = None
        self.say: Callable[[str], None] = self._to_stderr
        self._step: Step | None = None
        self._micro = 0
        self._multipliers: list[Multipliers] = []
        self._rates: dict[str, float] = {}
        self._given_optimizer = self.optimizer is not None
        refuse_missing(self.defenses, self._missing())
        refuse_unsuited(self.defenses, self._bare)

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Train as the wrapped class does, with every defense's hooks around it.

        Raises:
            ConfigError: The checkpoint cannot be resumed with these defenses.
            DivergedError: The loss became NaN or infinite.
            NotRunError: A hook that a defense overrides never ran.
        """
        checkpoint = compat.whole_checkpoint(self, resume_from_checkpoint)
        self.trace, self.artifacts, self._micro = Trace(), [], 0
        run = suited_run(self, self._run(), self.defenses, self.trace)
        session = Session(self.defenses, run, self.trace, self.artifacts_dir / "state")
        with self._inside(session):
            self.train_dataset = session.data(self.train_dataset)
            session.begin(checkpoint)
            result = super().train(str(checkpoint) if checkpoint else None, *args, **kwargs)
            self.artifacts = session.after()
        self.trace.check(self.defenses if checkpoint is None else ())
        return result

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Run one micro-batch through the defenses' ``batch`` and ``gradient`` hooks."""
        if self.session is None:
            return super().training_step(model, inputs, num_items_in_batch)
        step = self._make_step(self.session, inputs, num_items_in_batch)
        own = dict(self.session.batch(step, self._prepare_inputs(inputs)))
        plain = counted_once(self, super().training_step)

        def backward() -> Tensor:
            self._step = step
            try:
                loss = plain(model, dict(own), num_items_in_batch)
            finally:
                self._step = None
            if not bool(torch.isfinite(loss)):
                raise diverged(step.number, own, self.train_dataset)
            return loss

        return self.session.gradient(step, backward)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Add the defenses' terms to the loss of the user's own batch, and to no other."""
        step, session = self._step, self.session
        if step is None or session is None or not session.having("loss"):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        batch = dict(inputs)
        if compat.loss_gives_logits(self):
            own: Any = super().compute_loss(model, inputs, True, num_items_in_batch)
            loss, outputs = own
        else:
            loss = super().compute_loss(model, inputs, False, num_items_in_batch)
            outputs = compat.outputs_with_logits(model, batch)
        # The trainer divides by the micro-batches of a step where the loss is not scaled already.
        scaled = 1 if num_items_in_batch is not None else self.current_gradient_accumulation_steps
        loss = cast("Tensor", loss) + scaled * session.loss(step, batch, outputs)
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> Any:
        """Return the user's loader, which must hold what the ``data`` hooks made of the rows."""
        loader = super().get_train_dataloader()
        acting = [] if self.session is None else self.session.having("data")
        return held_by(self, loader, acting)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the optimizer as usual, its groups split where learning rates differ."""
        optimizer: Any = super().create_optimizer(model)
        session = self.session
        if session is not None and session.having("learning_rate"):
            if self._given_optimizer:
                raise ConfigError(
                    "a defense sets learning rates per module and cannot split an optimizer given "
                    "as optimizers=; let the trainer make it, or use optimizer_cls_and_kwargs="
                )
            total = max(1, self.state.max_steps)
            self._multipliers = split_groups(
                optimizer, self._bare, lambda ref: session.multipliers(ref, total)
            )
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the scheduler as usual, times each group's multiplier."""
        scheduler = super().create_scheduler(num_training_steps, optimizer)
        if self.session is not None and self.session.having("learning_rate"):
            self.lr_scheduler = scheduler = scheduler_with(scheduler, self._multipliers)
        return scheduler

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log the defenses' figures, and every group's learning rate, beside the user's loss."""
        if self.session is not None and "loss" in logs:
            for defense in self.defenses:
                logs |= {f"{defense.card.name}/{k}": v for k, v in defense.metrics().items()}
            if self.session.having("learning_rate"):
                logs |= self._rates
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the model as it would be served."""
        with self._served():
            return super().evaluate(*args, **kwargs)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model as it would be served; into a checkpoint, the defenses' state as well."""
        with self._served():
            super().save_model(output_dir, _internal_call)
        if self.session is not None and _internal_call and output_dir is not None:
            self.session.save(Path(output_dir))

    def note_rates(self) -> None:
        """Keep every group's learning rate of the update at hand for the next log."""
        self._rates = rates(cast("torch.optim.Optimizer", self.optimizer))

    def last_step_done(self) -> None:
        """Detach before the best checkpoint, which holds served weights, is loaded back."""
        if self.session is not None:
            self.session.detach()

    def _served(self) -> AbstractContextManager[None]:
        return nullcontext() if self.session is None else self.session.served()

    @contextmanager
    def _inside(self, session: Session) -> Generator[None]:
        """Hold the session open and leave the trainer and model as they were, on errors too."""
        rows, callback = self.train_dataset, _Lifecycle(self)
        self.session = session
        self.add_callback(callback)
        try:
            with serving_callbacks(self.callback_handler, session.served):
                yield
        finally:
            try:
                session.detach()
            finally:
                self.session, self.train_dataset = None, rows
                self.remove_callback(callback)

    @property
    def _bare(self) -> nn.Module:
        """The model as the user gave it, with no wrapper of a distribution."""
        return cast("nn.Module", self.model)

    def _run(self) -> Run:
        engine = LocalEngine(self._bare, self.compute_loss_context_manager)
        prepare = partial(compat.prepared, self)
        decay, seed = self.args.weight_decay, int(self.args.seed)
        run = Run(self._bare, engine, prepare, self.data_collator, seed, decay, self.say)
        return seen_by(self, run)

    def _to_stderr(self, line: str) -> None:
        """Write what a defense says where the progress bar is, and nothing where there is none."""
        if self.is_world_process_zero() and not self.args.disable_tqdm:
            sys.stderr.write(f"{line}\n")

    def _make_step(self, session: Session, inputs: Any, items: Any) -> Step:
        micros = max(1, self.current_gradient_accumulation_steps)
        counted = items is not None and "labels" in inputs
        # The first label has no prediction; the trainer leaves it out of its count as well.
        tokens = inputs["labels"][..., 1:].ne(-100).sum() if counted else None
        last = compat.ends_update(self)
        step = Step(
            run=session.run,
            number=self.state.global_step,
            total=self.state.max_steps,
            micro=self._micro,
            last=last,
            share=1 / micros if tokens is None else float(tokens) / max(1.0, float(items or 0)),
        )
        self._micro = 0 if last else self._micro + 1
        return step

    def _missing(self) -> dict[Capability, str]:
        kind = compat.is_distributed(self)
        if kind is None:
            return low_precision(self._bare) | compat.scaled_gradients(self)
        why = f"this version runs it in one process only, and this trainer runs under {kind}"
        rows = {Capability.EDITS_DATA, Capability.ROWS, Capability.NLL}
        allowed = rows | {Capability.LEARNING_RATES}
        return {c: why for c in Capability if c not in allowed}


class SecureTrainer(SecureMixin, Trainer):
    """A ``transformers.Trainer`` that runs defenses: ``SecureTrainer(..., defenses=[...])``."""


class SecureSFTTrainer(SecureMixin, SFTTrainer):
    """A ``trl.SFTTrainer`` that runs defenses: ``SecureSFTTrainer(..., defenses=[...])``."""


def protect(
    trainer: Trainer, defenses: Sequence[Defense], artifacts_dir: str | Path | None = None
) -> Trainer:
    """Add defenses to a trainer that already exists, in place, and return it.

    The object's class becomes a subclass of its own class, so callbacks, data and settings stay.

    Args:
        trainer: Any ``transformers.Trainer`` (Trainer, SFTTrainer, DPOTrainer, a user's own).
        defenses: The first is outermost.
        artifacts_dir: See ``SecureMixin.take_defenses``.
    """
    kind = type(trainer)
    if not isinstance(trainer, SecureMixin):
        trainer.__class__ = type(f"Secure{kind.__name__}", (SecureMixin, kind), {})
    trainer.take_defenses(defenses, artifacts_dir)  # type: ignore[attr-defined]
    return trainer


class _Lifecycle(TrainerCallback):
    """Carries the hooks that ``Trainer`` already offers as callbacks."""

    def __init__(self, trainer: SecureMixin) -> None:
        self._trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Attach: any checkpoint is loaded by now, and it holds served weights."""
        if self._trainer.session is not None:
            self._trainer.session.attach()

    def on_optimizer_step(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Let defenses correct the weights, and note the rates that this update used."""
        session = self._trainer.session
        if session is not None and session.having("after_update"):
            session.after_update(Step(session.run, state.global_step, state.max_steps))
        if session is not None and session.having("learning_rate"):
            self._trainer.note_rates()  # A log is written after the scheduler has moved on.

    def on_save(self, *_: Any, **__: Any) -> None:
        """Seal the checkpoint: this callback is the last, and all that belongs to it is there."""
        compat.sealed(self._trainer)
