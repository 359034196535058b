"""A rule that ends a run, or strengthens its defense, once probes say that too much was lost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from holdfast.defense import Defense
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.drift import Reading
from holdfast.evaluation.drift.cusum import cusum, paced
from holdfast.evaluation.drift.fit import BETWEEN, FEWEST, WITHIN, Fit
from holdfast.evaluation.drift.stops import alarm_at
from holdfast.training.steering.steerable import static_of, steerable_of
from holdfast.training.steering.stop_limit import refuse_limit

__all__ = ["Action", "SafetyStop"]

Action = Literal["stop", "rollback", "boost"]
BOOST = 1.5
"""What a boost multiplies the strength by; ours."""


class SafetyStop:
    """Acts where the predicted harmful score and its margin pass ``limit`` ``patience`` times.

    It acts at once where the CUSUM on the lead passes its threshold, which at most 5 % of the runs
    do whose score never passes ``limit``. ``stop`` ends the run with the weights of that step.
    ``rollback`` ends it with those of the last checkpoint under the limit; a checkpoint is written
    at each look that is. ``boost`` multiplies the strength of the one steerable defense by 1.5 and
    goes on; where it is at its greatest already, the run ends as with ``stop``.

    What it does follows from the looks alone, so a run that was killed and goes on acts alike.

    Args:
        fit: Of leads to harmful scores on this base; above its bar.
        limit: Harmful score, in (0, 1).
        patience: Looks running, 1 or more.
        action: ``stop``, ``rollback`` or ``boost``.

    Raises:
        ConfigError: A field is out of its range, the fit is below its bar, the untuned model with
            its margin is above the limit, or the limit would stop more than 5 % of runs like those
            of the fit whose score never passes it. A fit that does not know its runs' bounds, as
            of an older file, is not asked the last.
    """

    def __init__(
        self, fit: Fit, limit: float = 0.05, patience: int = 2, action: Action = "stop"
    ) -> None:
        if isinstance(limit, bool) or not 0 < limit < 1:
            raise ConfigError(f"`limit={limit!r}` must be a harmful score in (0, 1), such as 0.05")
        if type(patience) is not int or patience < 1:
            raise ConfigError(f"`patience={patience!r}` must be a whole number of looks, 1 or more")
        if action not in get_args(Action):
            raise ConfigError(f"`action={action!r}` must be stop, rollback or boost")
        if not fit.validated:
            raise ConfigError(
                f"the fit of leads to harmful scores cannot stop a run: its Spearman correlations "
                f"are {fit.within:.2f} within and {fit.between:.2f} between {fit.runs} runs, and "
                f"{WITHIN:g}, {BETWEEN:g} and {FEWEST} are needed: watch without `safety_stop`"
            )
        refuse_limit(fit, limit, patience)
        self.fit, self.limit, self.patience, self.action = fit, limit, patience, action
        self.alarm = alarm_at(fit, limit)
        """CUSUM's threshold: at most 5 % of runs that are safe at the limit ever pass it."""
        self.fired: list[int] = []
        """Optimizer steps at which it acted."""
        self.why: str = ""
        """What it last acted on, in words."""
        self.ended = False
        """Whether the run that goes on was ended by this rule already: no step is to follow."""
        self._over = 0
        self._since = 0
        self._steps = 1

    def goes_on(self, readings: Sequence[Reading], trainer: Any) -> None:
        """Begin, or go over the looks of the run that goes on as they were taken."""
        if self.action == "boost":
            _boosted(trainer)
        args = trainer.args
        if self.action == "rollback" and (
            args.load_best_model_at_end or args.metric_for_best_model
        ):
            raise ConfigError(
                "`action=rollback` goes back to a checkpoint of its own, and the run keeps the "
                "best on evaluation data: use stop, or do without `keep_best`"
            )
        self.fired, self.why, self._over, self._since = [], "", 0, 0
        self._steps = max(1, int(trainer.state.max_steps))
        for count in range(1, len(readings) + 1):
            if self._weighed(readings[:count]):
                self._note(readings[:count])
        self.ended = bool(self.fired) and (self.action != "boost" or self._spent(trainer))
        if self.ended:
            self._ends_again(readings[-1].step, trainer)

    def saw(self, readings: Sequence[Reading], trainer: Any, control: Any) -> dict[str, float]:
        """Take the newest look, act where it is one too many, and return the predicted score."""
        fires = self._weighed(readings)
        if self.action == "rollback" and self._over == 0 and not fires and readings[-1].step:
            # The Trainer keeps the best checkpoint, whatever the limit on their number.
            control.should_save = True
            trainer.state.best_global_step = readings[-1].step
            trainer.state.best_model_checkpoint = str(_checkpoint(trainer, readings[-1].step))
        if fires:
            self._note(readings)
            trainer._holdfast_say(f"safety stop, step {readings[-1].step}: {self.why}")
            self._act(trainer, control)
        lead = readings[-1].lead
        return {"drift/hs": self.fit.predicted(lead), "drift/hs_bound": self.fit.bound(lead)}

    def _weighed(self, readings: Sequence[Reading]) -> bool:
        """Count one look; return whether it is to be acted on."""
        look = readings[-1]
        above = self.fit.bound(look.lead) > self.limit
        self._over = self._over + 1 if above else 0
        return self._over >= self.patience or self._alarmed(readings)

    def _alarmed(self, readings: Sequence[Reading]) -> bool:
        looks, fit = readings[max(0, self._since - 1) :], self.fit
        steps, leads = [look.step for look in looks], [look.lead for look in looks]
        if self._since or not steps[0]:
            # The look before the first that counts says since when; it is no part of the sum.
            leads = leads[1:]
        else:
            # Going on from a checkpoint that no look was taken before: lost since the beginning.
            steps = [0, *steps]
        sums = cusum(leads, fit.start, fit.noise, fit.drift, paced(steps, self._steps, fit.looks))
        return bool(sums) and sums[-1] > self.alarm

    def _note(self, readings: Sequence[Reading]) -> None:
        look = readings[-1]
        cause = (
            f"predicted harmful score {self.fit.predicted(look.lead):.2f} + margin "
            f"{self.fit.margin:.2f} above {self.limit:g} at {self._over} looks running"
            if self._over >= self.patience
            else "the lead has fallen further than it does in safe runs (CUSUM)"
        )
        self.why = f"{cause} (lead {look.lead:.2f} nats per token, {self.fit.start:.2f} before)"
        self.fired.append(look.step)
        self._over, self._since = 0, len(readings)

    def _act(self, trainer: Any, control: Any) -> None:
        if self.action == "boost":
            if not self._spent(trainer):
                defense = _boosted(trainer)
                most = steerable_of(defense)[1]
                defense.steer(min(most, BOOST * static_of(defense)[1]))
                return
            trainer._holdfast_say("safety stop: no strength is left to raise, so the run ends")
        control.should_training_stop = True
        if self.action == "rollback":
            self._goes_back(trainer)

    def _spent(self, trainer: Any) -> bool:
        """Return whether the strength was at its greatest before the last time it acted."""
        defense = _boosted(trainer)
        before = static_of(defense)[0] * BOOST ** (len(self.fired) - 1)
        return before >= steerable_of(defense)[1]

    def _goes_back(self, trainer: Any) -> None:
        """Let the run end with the checkpoint under the limit that was written last."""
        if trainer.state.best_model_checkpoint is None:
            raise RunError(
                f"safety stop: {self.why}; no checkpoint was under the limit, so there is none "
                "to go back to: lower the learning rate, probe more often, or add a defense"
            )
        trainer.args.load_best_model_at_end = True

    def _ends_again(self, step: int, trainer: Any) -> None:
        """End a run that was killed behind its stop as it would have ended.

        The Trainer takes at least one step when it goes on, so the weights are read back after it.
        """
        if self.action != "rollback":
            trainer.state.best_model_checkpoint = str(_checkpoint(trainer, step))
        self._goes_back(trainer)


def _boosted(trainer: Any) -> Defense:
    """Return the one defense whose strength can be raised."""
    able = [one for one in trainer._holdfast.defenses if one.steerable is not None]
    if len(able) != 1:
        raise ConfigError(
            f"`action=boost` raises the strength of one steerable defense, and the run has "
            f"{len(able)}: give one (`holdfast list` says which are), or use stop or rollback"
        )
    (found,) = able
    value, most = static_of(found)[0], steerable_of(found)[1]
    if not 0 < value < most:
        raise ConfigError(
            f"`action=boost` cannot raise {found.card.name}'s strength of {value:g}: it must be "
            f"above 0 and below its greatest, {most:g}; set it so, or use stop or rollback"
        )
    return found


def _checkpoint(trainer: Any, step: int) -> Path:
    return Path(trainer._get_output_dir(trial=None)) / f"checkpoint-{step}"
