"""The one Trainer subclass of the library: it runs defenses and knows nothing of any method."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from holdfast.defense import Defense
from holdfast.errors import ConfigError
from holdfast.ops.bits import adapter_in_float32
from holdfast.training import compat
from holdfast.training.compat import SFTTrainer
from holdfast.training.distributed.figures import averaged
from holdfast.training.divergence import diverged
from holdfast.training.foreign.calls import called, refuse_replaced
from holdfast.training.foreign.shares import divisor, share
from holdfast.training.learning_rates import scheduler_with, split_groups
from holdfast.training.lifecycle import Lifecycle
from holdfast.training.looks.counters import counted_once
from holdfast.training.looks.users_rows import held_by
from holdfast.training.trace import Trace

__all__ = ["SecureMixin", "SecureSFTTrainer", "SecureTrainer", "protect"]


class SecureMixin(Lifecycle):
    """Adds ``defenses`` to a ``transformers.Trainer`` class; mix it in before that class."""

    def __init__(
        self,
        *args: Any,
        defenses: Sequence[Defense] = (),
        artifacts_dir: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        adapter_in_float32(self.model)
        self.take_defenses(defenses, artifacts_dir)

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
        held, path = self._holdfast, str(checkpoint) if checkpoint else None
        held.trace, held.artifacts, held.micro = Trace(), [], 0
        with self._holdfast_inside():
            if self.model_init is None:
                self._holdfast_begin(checkpoint)
            if args:
                result = super().train(path, *args, **kwargs)
            else:
                result = called(super().train, resume_from_checkpoint=path, **kwargs)
            held.artifacts = held.session.after() if held.session is not None else []
        held.trace.check(held.defenses if checkpoint is None else ())
        return result

    def training_step(
        self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None
    ) -> Tensor:
        """Run one micro-batch through the defenses' ``batch`` and ``gradient`` hooks."""
        plain, session, items = super().training_step, self._holdfast.session, num_items_in_batch
        if session is None:
            return called(plain, model, inputs, placed=True, num_items_in_batch=items)
        plain = counted_once(self, plain)
        step, own = self._holdfast_step(session, inputs, items), inputs
        if session.having("batch"):
            own = session.batch(step, self._prepare_inputs(inputs))

        def backward() -> Tensor:
            self._holdfast.step = step
            now = dict(own) if isinstance(own, Mapping) else own  # A loss may take labels out.
            try:
                loss = called(plain, model, now, placed=True, num_items_in_batch=items)
            finally:
                self._holdfast.step = None
            if not bool(torch.isfinite(loss)):
                raise diverged(step.number, own, self.train_dataset)
            return loss

        return session.gradient(step, backward)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Add the defenses' terms to the loss of the user's own batch, and to no other."""
        step, session = self._holdfast.step, self._holdfast.hooking("loss")
        plain, items = super().compute_loss, num_items_in_batch
        if step is None or session is None:
            return called(
                plain, model, inputs, return_outputs=return_outputs, num_items_in_batch=items
            )
        batch, asks = dict(inputs), compat.loss_gives_logits(self)
        own = called(plain, model, inputs, return_outputs=asks, num_items_in_batch=items)
        loss, outputs = own if isinstance(own, tuple) else (own, None)
        if getattr(outputs, "logits", None) is None:
            outputs = compat.outputs_with_logits(model, batch)
        step = replace(step, share=share(self, batch, items))  # A user's step may drop the count.
        loss = loss + divisor(self, items) * session.loss(step, batch, outputs)
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> Any:
        """Return the user's loader, which must hold what the ``data`` hooks made of the rows."""
        session, loader = self._holdfast.hooking("data"), super().get_train_dataloader()
        if session is None:
            return loader
        return held_by(self, loader, session.having("data"), session.users_rows)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Create the optimizer as usual, its groups split where learning rates differ."""
        made: Any = called(super().create_optimizer, model=model)
        session = self._holdfast.hooking("learning_rate")
        optimizer: Any = made if made is not None else self.optimizer
        if session is not None:
            if self._holdfast.given_optimizer:
                raise ConfigError(f"a defense sets learning rates: {compat.WHOLE_OPTIMIZER}")
            total = max(1, self.state.max_steps)
            self._holdfast.multipliers = split_groups(
                optimizer, session.run.model, lambda ref: session.multipliers(ref, total)
            )
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Create the scheduler as usual, times each group's multiplier."""
        options = {"num_training_steps": num_training_steps, "optimizer": optimizer}
        made = called(super().create_scheduler, placed=True, **options)
        scheduler: Any = made if made is not None else self.lr_scheduler
        if self._holdfast.hooking("learning_rate") is not None:
            self.lr_scheduler = scheduler = scheduler_with(scheduler, self._holdfast.multipliers)
        return scheduler

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the defenses' figures, and every group's learning rate, beside the user's loss."""
        if self._holdfast.session is not None and "loss" in logs:
            for defense in self._holdfast.defenses:
                own = averaged(defense.metrics(), self._holdfast.session.run.engine)
                logs |= {f"{defense.card.name}/{k}": v for k, v in own.items()}
            if self._holdfast.hooking("learning_rate") is not None:
                logs |= self._holdfast.rates
        called(super().log, logs, placed=True, start_time=start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the model as it would be served."""
        with self._holdfast_served():
            return super().evaluate(*args, **{k: v for k, v in kwargs.items() if v is not None})

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model as it would be served; into a checkpoint, the defenses' state as well."""
        with self._holdfast_served():
            called(super().save_model, output_dir, _internal_call=_internal_call)
        if self._holdfast.session is not None and _internal_call and output_dir is not None:
            self._holdfast.session.save(Path(output_dir))


class SecureTrainer(SecureMixin, Trainer):
    """A ``transformers.Trainer`` that runs defenses: ``SecureTrainer(..., defenses=[...])``."""


class SecureSFTTrainer(SecureMixin, SFTTrainer):
    """A ``trl.SFTTrainer`` that runs defenses: ``SecureSFTTrainer(..., defenses=[...])``."""


def protect(
    trainer: Trainer, defenses: Sequence[Defense], artifacts_dir: str | Path | None = None
) -> Trainer:
    """Add defenses to a trainer that already exists, in place, and return it.

    The object's class becomes a subclass of its own class, so callbacks, data and settings stay.
    A second call puts its list in the place of the first one's; what is refused changes nothing.

    Args:
        trainer: Any ``transformers.Trainer`` (Trainer, SFTTrainer, DPOTrainer, a user's own).
        defenses: The first is outermost.
        artifacts_dir: See ``SecureMixin.take_defenses``.
    """
    kind = type(trainer)
    refuse_replaced(trainer, SecureMixin)
    if not isinstance(trainer, SecureMixin):
        trainer.__class__ = type(f"Secure{kind.__name__}", (SecureMixin, kind), {})
    try:
        trainer.take_defenses(defenses, artifacts_dir)  # type: ignore[attr-defined]
    except BaseException:
        trainer.__class__ = kind  # type: ignore[reportAttributeAccessIssue]
        raise
    return trainer
