"""Probes along a run: every few steps the model as it would be served is looked at.

A run with probes is bit for bit the run without: nothing is drawn, no gradient and no mode of a
module changes, and the Trainer's own lines of the log are written when they would have been.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from transformers import TrainerCallback

from holdfast.errors import ConfigError
from holdfast.evaluation.drift import Probes, Reading
from holdfast.training.distributed.figures import averaged

__all__ = ["Acting", "DriftWatch"]


class Acting(Protocol):
    """What is done about a look, such as stopping the run."""

    def saw(self, readings: Sequence[Reading], trainer: Any, control: Any) -> dict[str, float]:
        """Take all looks so far, the newest last; return what the log shall hold beside it."""
        ...

    def goes_on(self, readings: Sequence[Reading], trainer: Any) -> None:
        """Take the looks of the run that goes on from a checkpoint; none at a first start."""
        ...


class DriftWatch(TrainerCallback):
    """Measures the probes before step 0 and after every k-th optimizer step.

    The figures go to the Trainer's log, and so to its trackers, under ``drift/``. After the run
    ``readings`` holds them.

    Example::

        watch = DriftWatch(trainer, probes, every=20)
        trainer.add_callback(watch)
    """

    def __init__(
        self, trainer: Any, probes: Probes, every: int, acting: Sequence[Acting] = ()
    ) -> None:
        if type(every) is not int or every < 1:
            raise ConfigError(f"`every={every!r}` must be a whole number of steps, 1 or more")
        self.readings: list[Reading] = []
        """Every look so far, the newest last."""
        self._trainer, self._probes, self._every = trainer, probes, every
        self._acting = tuple(acting)
        self._ended: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look at the untuned model; of a run that goes on, read the looks it had taken."""
        del args
        if state.global_step:
            found = [Reading.of_log(entry) for entry in state.log_history]
            self.readings = [look for look in found if look and look.step <= state.global_step]
        else:
            self.readings = []
        for one in self._acting:
            one.goes_on(self.readings, self._trainer)
        ended = any(getattr(one, "ended", False) for one in self._acting)
        self._ended = state.global_step if ended else None
        if not state.global_step:
            self._look(state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Look after every k-th step, and after the last."""
        del args
        if self._ended is not None:
            state.global_step = self._ended
            _leave(control)
            return
        step = state.global_step
        if step % self._every == 0 or step == state.max_steps:
            self._look(state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Let nothing of an epoch count that comes after the end."""
        del args, state
        if self._ended is not None:
            _leave(control)

    def _look(self, state: Any, control: Any) -> None:
        trainer, step = self._trainer, int(state.global_step)
        session = trainer._holdfast.session
        with trainer._holdfast_served():
            seen = self._probes.measured(session.run.model, step)
        own = averaged(seen.logged(), session.run.engine)
        self.readings.append(Reading.of_log({**own, "step": step}) or seen)
        self._log(own, control)
        for one in self._acting:
            self._log(one.saw(self.readings, trainer, control), control)

    def _log(self, figures: dict[str, float], control: Any) -> None:
        """Log figures; a line of ours must not take the place of the Trainer's own."""
        due = control.should_log
        self._trainer.log(figures)
        control.should_log = due


def _leave(control: Any) -> None:
    """End a run that was over before it went on; its one step more is seen by nobody."""
    control.should_training_stop = True
    control.should_evaluate = control.should_save = control.should_log = False
