"""A trainer's defenses from before step 0 to after the last: a run is built, opened and closed."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from transformers import TrainerCallback

from holdfast.artifact import Artifact
from holdfast.defense import Defense, Run, Step
from holdfast.errors import ConfigError
from holdfast.progress import Bars, Progress, silent
from holdfast.training import compat
from holdfast.training.compose import composed, refuse_missing
from holdfast.training.distributed.engines import engine_for
from holdfast.training.foreign.held import READABLE, Held
from holdfast.training.foreign.references import shared_reference
from holdfast.training.foreign.shares import share
from holdfast.training.foreign.trial import foreign_limits, missing, own_rows, try_rows
from holdfast.training.learning_rates import rates
from holdfast.training.looks.suited import refuse_unsuited, suited_run
from holdfast.training.serving.callbacks import serving_callbacks
from holdfast.training.serving.places import (
    artifacts_folder,
    refuse_early_uploads,
    set_unrepaired_apart,
)
from holdfast.training.serving.trainer import ServingTrainer, seen_by
from holdfast.training.session import Session
from holdfast.training.trace import Trace

__all__ = ["Lifecycle"]


class Lifecycle(ServingTrainer):
    """Holds the defenses of a trainer beside whatever attributes its own class has.

    All that is kept lies in ``_holdfast``, and each method that is not a stock one begins with that
    name. ``defenses``, ``trace``, ``artifacts``, ``artifacts_dir`` and ``session`` are read from
    there where the trainer's class has nothing of that name.
    """

    _holdfast = Held()
    if TYPE_CHECKING:
        defenses: tuple[Defense, ...]
        artifacts_dir: Path
        artifacts: list[Artifact]
        trace: Trace
        session: Session | None
        say: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:
        if name in READABLE:  # Called where nobody else has the name.
            return getattr(self._holdfast, name)
        if name == "say":
            return self._holdfast_say
        beyond = getattr(super(), "__getattr__", None)
        if beyond is not None:
            return beyond(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def take_defenses(
        self, defenses: Sequence[Defense], artifacts_dir: str | Path | None = None
    ) -> None:
        """Check the list and make it this trainer's own.

        Args:
            defenses: The first is outermost; see ``holdfast.defense`` for the loop.
            artifacts_dir: Where private state (a security vector) lies, apart from the checkpoints.
                Default: the output folder's name with ``-artifacts``.

        A list that is refused leaves the trainer with what it had.
        """
        free = "say" not in vars(self) and not hasattr(type(self), "say")
        before = vars(self).get("_holdfast")
        self._holdfast = Held(
            composed(defenses),
            artifacts_folder(self, artifacts_dir),
            given_optimizer=self.optimizer is not None,
            takes_say=free if before is None else before.takes_say,
        )
        try:
            self._holdfast_check()
        except BaseException:
            if before is None:
                del self._holdfast
            else:
                self._holdfast = before
            raise

    def _holdfast_loop_begins(self, checkpoint: str | None) -> None:
        """Build the run of a model that ``train`` itself has made, from ``model_init=``."""
        if self._holdfast.session is None:
            self._holdfast_check()
            self._holdfast_begin(Path(checkpoint) if checkpoint else None)
        session = self._holdfast.session
        if session is not None and session.run.model is not self.model:
            raise ConfigError(
                "train() exchanged the model after the defenses had been prepared on another one; "
                "exchange it before train(), or give the trainer model_init="
            )
        if session is not None:
            self._holdfast_starts(session)

    def _holdfast_begin(self, checkpoint: Path | None) -> None:
        held = self._holdfast
        run = suited_run(self, self._holdfast_run(), held.defenses, held.trace)
        state = held.artifacts_dir / "state"
        held.trace.step_rows = compat.step_rows(self)
        held.session = session = Session(held.defenses, run, held.trace, state)
        self.train_dataset = session.data(self.train_dataset)
        session.begin(checkpoint)
        if checkpoint is not None:
            self._holdfast_goes_on(checkpoint)

    def _holdfast_goes_on(self, checkpoint: Path) -> None:
        """Take over what was counted, and say so where steps have other rows from here on."""
        trace = self._holdfast.trace
        was = trace.goes_on(checkpoint)
        if None not in (was, trace.step_rows) and was != trace.step_rows:
            self._holdfast_say(
                f"the steps up to {checkpoint.name} had {was} rows each and now have "
                f"{trace.step_rows} (processes × batch size × accumulation): rows of this epoch "
                "may be left out or learned twice; go on with as many to have the stopped run"
            )

    def _holdfast_last_step_done(self) -> None:
        """Detach before the best checkpoint, which holds served weights, is loaded back."""
        if self._holdfast.session is not None:
            self._holdfast.session.detach()

    def _holdfast_best_loaded(self, checkpoint: Path) -> None:
        """Go back to what the defenses had learned when those weights were written."""
        if self._holdfast.session is not None:
            self._holdfast.session.begin(checkpoint)

    @contextmanager
    def _holdfast_inside(self) -> Generator[None]:
        """Hold a session open and leave the trainer and model as they were, on errors too."""
        rows, callback, held = self.train_dataset, _Callbacks(self), self._holdfast
        self.add_callback(callback)
        try:
            with serving_callbacks(self.callback_handler, self._holdfast_served):
                yield
            set_unrepaired_apart(self, held)
        finally:
            try:
                if held.session is not None:
                    held.session.detach()
            finally:
                held.session, self.train_dataset = None, rows
                self.remove_callback(callback)

    def _holdfast_run(self) -> Run:
        model = cast("nn.Module", self.model)  # With no wrapper of a distribution.
        engine, own = engine_for(self), own_rows(self)
        run = Run(
            model,
            engine,
            partial(compat.prepared, self),
            self.data_collator,
            int(self.args.seed),
            self.args.weight_decay,
            self._holdfast_say,
            self._holdfast_progress(),
            own=None if compat.knows_rows(self) else (own.prepare, own.collate),
        )
        return seen_by(self, run)

    def _holdfast_say(self, line: str) -> None:
        """Write what a defense says where the progress bar is, and nothing where there is none."""
        say = vars(self).get("say") if self._holdfast.takes_say else None
        if not self.is_world_process_zero():
            return
        if say is not None:
            say(line)
        elif not self.args.disable_tqdm:
            sys.stderr.write(f"{line}\n")

    def _holdfast_progress(self) -> Progress:
        """Return who is told how far a defense is; bars where the Trainer has its own."""
        bars = self.is_world_process_zero() and not self.args.disable_tqdm
        asked = self._holdfast.progress if self.is_world_process_zero() else None
        return asked or (Bars() if bars else silent)

    def _holdfast_step(self, session: Session, inputs: Any, items: Any) -> Step:
        last, held = compat.ends_update(self), self._holdfast
        step = Step(
            run=session.run,
            number=self.state.global_step,
            total=self.state.max_steps,
            micro=held.micro,
            last=last,
            share=share(self, inputs, items),
        )
        held.micro = 0 if last else held.micro + 1
        return step

    def _holdfast_check(self) -> None:
        """Refuse what this trainer cannot run, by what it is: its class, model, rows, collator."""
        defenses = self._holdfast.defenses
        refuse_early_uploads(self, defenses)
        refuse_missing(defenses, missing(self))
        refuse_missing(defenses, foreign_limits(self, defenses))
        refuse_missing(defenses, shared_reference(self, defenses))
        try_rows(self, defenses, self._holdfast_run())
        refuse_unsuited(defenses, cast("nn.Module", self.model))


class _Callbacks(TrainerCallback):
    """Carries the hooks that ``Trainer`` already offers as callbacks."""

    def __init__(self, trainer: Lifecycle) -> None:
        self._trainer = trainer

    @property
    def _held(self) -> Held:
        return self._trainer._holdfast  # type: ignore[reportPrivateUsage]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Attach: any checkpoint is loaded by now, and it holds served weights."""
        if self._held.session is not None:
            self._held.session.attach()
            compat.counts_on(self._trainer, self._held.trace.unlogged)

    def on_optimizer_step(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Let defenses correct the weights, and note the rates that this update used."""
        session = self._held.hooking("after_update")
        if session is not None:
            session.after_update(Step(session.run, state.global_step, state.max_steps))
        if self._held.hooking("learning_rate") is not None:
            # A log is written after the scheduler has moved on.
            self._held.rates = rates(cast("torch.optim.Optimizer", self._trainer.optimizer))

    def on_save(self, *_: Any, **__: Any) -> None:
        """Seal the checkpoint: this callback is the last, and all that belongs to it is there."""
        compat.sealed(self._trainer, self._held.trace.save)
