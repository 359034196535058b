"""The stop rule: when it acts, what each action leaves, and that a killed run acts alike."""

from typing import Any

import pytest

from holdfast.defenses import SafeMixing
from holdfast.errors import ConfigError, RunError
from holdfast.evaluation.drift import Reading
from holdfast.evaluation.drift.left_out import LeftOut
from holdfast.organism.scenarios import refusal_pairs
from holdfast.testing.runs import FULL, differing, new_folder, new_trainer
from holdfast.training.steering.safety_stop import SafetyStop
from holdfast.training.steering.watch import DriftWatch
from tests.unit.training.steering.watched import KilledError, fit, probes, watched

SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}


class Planned(SafetyStop):
    """A rule that sees planned leads instead of the tiny model's."""

    leads: tuple[float, ...] = (5.0, 5.0, 5.0, -5.0, -5.0, -5.0, -5.0)

    def saw(self, readings: Any, trainer: Any, control: Any) -> dict[str, float]:
        return super().saw([_as(one, self.leads) for one in readings], trainer, control)

    def goes_on(self, readings: Any, trainer: Any) -> None:
        super().goes_on([_as(one, self.leads) for one in readings], trainer)


def _as(look: Reading, leads: tuple[float, ...]) -> Reading:
    return Reading(step=look.step, lead=leads[look.step], lead_se=0.1, complying=0.0)


def test_it_stops_after_so_many_looks_above_the_limit() -> None:
    rule = Planned(fit(), limit=0.05, patience=2)
    outcome, _ = watched([], acting=[rule], max_steps=6)
    assert rule.fired == [4]
    assert outcome.trainer.state.global_step == 4
    assert "predicted harmful score 0.99" in rule.why
    five, _ = watched([], every=None, max_steps=6)
    assert differing(outcome.weights, five.weights)


def test_looks_that_are_not_running_do_not_count() -> None:
    rule = Planned(fit(), patience=2)
    rule.leads = (5.0, -5.0, 5.0, -5.0, 5.0, -5.0, 5.0)
    outcome, _ = watched([], acting=[rule], max_steps=6)
    assert rule.fired == []
    assert outcome.trainer.state.global_step == 6


def test_the_margin_is_part_of_the_limit() -> None:
    rule = Planned(fit(margin=0.03), patience=1)
    rule.leads = (5.0, 5.0, 3.5, 5.0, 5.0, 5.0, 5.0)
    watched([], acting=[rule], max_steps=6)
    assert rule.fired == [2]  # .029 + .03 is above .05, .029 is not.


def test_a_lead_that_falls_further_than_safe_runs_do_is_an_alarm_at_once() -> None:
    rule = Planned(fit(start=5.0, noise=1.0, drift=0.0, alarm=2.0), limit=0.99, patience=9)
    rule.leads = (5.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0)
    outcome, _ = watched([], acting=[rule], max_steps=6)
    assert outcome.trainer.state.global_step == 3  # 0, 1, 1 + 2 = 3 > 2.
    assert "CUSUM" in rule.why


def test_looking_more_often_is_no_alarm() -> None:
    told = fit(start=5.0, noise=1.0, drift=0.0, alarm=5.0, looks=2)
    rule = Planned(told, limit=0.99, patience=9)
    rule.leads = (5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0)
    # A look a step is three of the calibration's: (1 + 2 + 3 + 4 + 4 + 4) / 3 = 6 > 5 at the last.
    watched([], acting=[rule], max_steps=6)
    assert rule.fired == [6]
    older = Planned(fit(start=5.0, noise=1.0, drift=0.0, alarm=5.0), limit=0.99, patience=9)
    older.leads = rule.leads
    watched([], acting=[older], max_steps=6)
    assert older.fired == [3]


def test_a_run_of_epochs_is_paced_by_all_its_steps() -> None:
    told = fit(start=5.0, noise=1.0, drift=0.0, alarm=1e9, looks=2)
    rule = Planned(told, limit=0.99, patience=9)
    rule.leads = (5.0,) * 99
    outcome, _ = watched([], acting=[rule], max_steps=-1, num_train_epochs=1)
    assert rule._steps == outcome.trainer.state.max_steps > 1


def test_sums_begin_anew_behind_a_boost_and_a_killed_run_boosts_alike() -> None:
    """The look it boosted at is no part of the next sum, and says since when that runs."""
    told = fit(start=5.0, noise=1.0, drift=0.0, alarm=1.5, looks=3)

    def made() -> tuple[Planned, SafeMixing]:
        rule = Planned(told, limit=0.99, patience=9, action="boost")
        rule.leads = (5.0, 5.0, 1.0, 2.0, 4.0, 4.0, 4.0)
        return rule, SafeMixing(safe=refusal_pairs(8, seed=1), share=0.2)

    # Half a look of the calibration each: 4/2 > 1.5 at step 2; then 3/2, (3 + 1)/2 > 1.5 at 4.
    rule, defense = made()
    whole, _ = watched([defense], acting=[rule], max_steps=6)
    assert rule.fired == [2, 4]
    folder = new_folder()
    rule, defense = made()
    with pytest.raises(KilledError):
        watched([defense], acting=[rule], folder=folder, stop_at=3, max_steps=6, **SAVING)
    rule, defense = made()
    last = str(folder / "checkpoint-2")
    again, _ = watched([defense], acting=[rule], folder=folder, resume=last, max_steps=6, **SAVING)
    assert rule.fired == [2, 4]
    assert not differing(again.weights, whole.weights)


def test_what_was_lost_before_a_run_was_watched_counts() -> None:
    """A run goes on from a checkpoint of an unwatched one: its first look is no untuned one."""
    folder = new_folder()
    watched([], every=None, folder=folder, max_steps=4, **SAVING)
    rule = Planned(fit(start=5.0, noise=1.0, drift=0.0, alarm=3.5, looks=6), limit=0.99, patience=9)
    rule.leads = (5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0)
    last = str(folder / "checkpoint-2")
    watched([], acting=[rule], folder=folder, resume=last, max_steps=6, **SAVING)
    assert rule.fired == [4]  # 1 nat over three steps since the beginning, then one more: 4 > 3.5.


def test_the_alarm_is_made_for_the_limit() -> None:
    """A run whose score stays under .5 is not stopped because it is not under .1."""
    runs = [LeftOut(0.1, (0.1,), float(n)) for n in range(19)]
    told = fit(alarm=18.0, left_out=(*runs, LeftOut(0.4, (0.4,), 30.0)))
    assert SafetyStop(told, limit=0.2).alarm == 18.0
    assert SafetyStop(told, limit=0.5).alarm == 30.0
    assert SafetyStop(fit(alarm=18.0), limit=0.5).alarm == 18.0
    for limit, fired in ((0.2, [5]), (0.5, [])):
        rule = Planned(told, limit=limit, patience=9)
        rule.leads = (5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)  # Sums 4, 8, 12, 16, 20, 24.
        watched([], acting=[rule], max_steps=6)
        assert rule.fired == fired


def test_rollback_goes_back_to_the_last_checkpoint_under_the_limit() -> None:
    rule = Planned(fit(), patience=2, action="rollback")
    outcome, _ = watched([], acting=[rule], max_steps=6, save_total_limit=1, **SAVING)
    # Looks at 0, 1 and 2 are under the limit, 3 and 4 above it.
    two, _ = watched([], every=None, max_steps=6, **SAVING)
    assert rule.fired == [4]
    folder = new_folder()
    with pytest.raises(KilledError):
        watched([], every=None, max_steps=6, folder=folder, stop_at=2, **SAVING)
    at_two = new_trainer([], FULL)
    at_two._load_from_checkpoint(str(folder / "checkpoint-2"))
    kept = dict(at_two.model.named_parameters())
    assert not [n for n, t in outcome.weights.items() if not t.equal(kept[n])]
    assert differing(outcome.weights, two.weights)


def test_rollback_without_a_checkpoint_under_the_limit_says_so() -> None:
    rule = Planned(fit(), patience=2, action="rollback")
    rule.leads = (-5.0,) * 7
    with pytest.raises(RunError, match="no checkpoint was under the limit"):
        watched([], acting=[rule], max_steps=6, **SAVING)


def test_boost_raises_the_strength_and_counts_anew() -> None:
    defense = SafeMixing(safe=refusal_pairs(8, seed=1), share=0.2)
    rule = Planned(fit(), patience=2, action="boost")
    outcome, _ = watched([defense], acting=[rule], max_steps=6)
    assert rule.fired == [4, 6]
    assert defense.strength_now == pytest.approx(0.2 * 1.5 * 1.5)
    assert outcome.trainer.state.global_step == 6


def test_boost_ends_the_run_where_no_strength_is_left() -> None:
    """A rule that says it acted and changed nothing would let an unsafe run go on."""
    defense = SafeMixing(safe=refusal_pairs(8, seed=1), share=0.9)
    rule = Planned(fit(), patience=1, action="boost")
    folder = new_folder()
    outcome, _ = watched([defense], acting=[rule], folder=folder, max_steps=6, **SAVING)
    assert rule.fired == [3, 4]
    assert defense.strength_now == SafeMixing.bounds[1]
    assert outcome.trainer.state.global_step == 4
    again = Planned(fit(), patience=1, action="boost")
    resumed, _ = watched(
        [SafeMixing(safe=refusal_pairs(8, seed=1), share=0.9)], acting=[again], folder=folder,
        resume=str(folder / "checkpoint-4"), max_steps=6, **SAVING,
    )  # fmt: skip
    assert again.ended
    assert not differing(resumed.weights, outcome.weights)


def test_boost_is_refused_where_it_could_change_nothing() -> None:
    greatest = SafeMixing.bounds[1]
    trainer = new_trainer([SafeMixing(safe=refusal_pairs(8, seed=1), share=greatest)])
    trainer.add_callback(DriftWatch(trainer, probes(), 1, [SafetyStop(fit(), action="boost")]))
    with pytest.raises(ConfigError, match="above 0 and below its greatest"):
        trainer.train()


def test_a_killed_run_stops_where_the_unbroken_one_does() -> None:
    folder = new_folder()
    with pytest.raises(KilledError):
        watched([], acting=[Planned(fit())], folder=folder, stop_at=3, max_steps=6, **SAVING)
    rule = Planned(fit())
    outcome, _ = watched(
        [], acting=[rule], folder=folder, resume=str(folder / "checkpoint-2"), max_steps=6, **SAVING
    )
    assert rule.fired == [4]
    assert outcome.trainer.state.global_step == 4


@pytest.mark.parametrize("action", ["stop", "rollback"])
def test_a_run_that_is_killed_behind_its_stop_takes_no_step_more(action: Any) -> None:
    """The checkpoint of the stop's own step lies there: what goes on from it is over."""
    folder = new_folder()
    whole, watch = watched(
        [], acting=[Planned(fit(), action=action)], folder=folder, max_steps=6, **SAVING
    )
    rule, last = Planned(fit(), action=action), str(folder / "checkpoint-4")
    outcome, again = watched([], acting=[rule], folder=folder, resume=last, max_steps=6, **SAVING)
    assert (rule.fired, outcome.trainer.state.global_step) == ([4], 4)
    assert not differing(outcome.weights, whole.weights)
    assert watch is not None
    assert again is not None
    assert again.readings == watch.readings
    assert not (folder / "checkpoint-5").exists()


def test_rollback_at_the_first_look_of_all_says_that_nothing_was_written() -> None:
    """The CUSUM may act while the look itself is under the limit; then nothing was saved."""
    told = fit(start=5.0, noise=1.0, drift=0.0, alarm=2.0)
    rule = Planned(told, limit=0.99, patience=9, action="rollback")
    rule.leads = (5.0, 1.0, 4.0, 3.0, 2.0, 1.0, 0.0)
    with pytest.raises(RunError, match="no checkpoint was under the limit"):
        watched([], acting=[rule], max_steps=6, **SAVING)


def test_the_predicted_score_is_logged() -> None:
    outcome, _ = watched([], acting=[Planned(fit(margin=0.01))], every=2)
    rows = [row for row in outcome.trainer.state.log_history if "drift/hs" in row]
    assert [row["step"] for row in rows] == [0, 2, 4]
    assert all(row["drift/hs_bound"] >= row["drift/hs"] for row in rows)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": 0.0}, "`limit=0.0`"), ({"limit": 5}, "`limit=5`"),
        ({"patience": 0}, "`patience=0`"), ({"action": "halt"}, "`action='halt'`"),
    ],
)  # fmt: skip
def test_bad_fields_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SafetyStop(fit(), **wrong)


def test_a_limit_that_the_untuned_model_is_above_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"safety stop at 0\.05 lies below .* 0\.01 \+ 0\.10"):
        SafetyStop(fit(margin=0.1))


def runs_of_a_fit(*peaks: float) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(0.1, (0.05, peak, peak), 1.0) for peak in peaks)


def test_a_limit_at_which_safe_runs_stop_is_refused() -> None:
    told = fit(margin=0.1, left_out=runs_of_a_fit(*[0.15] * 19, 0.32, 0.35, 0.435))
    said = r"stop at 0\.3 .* 3 of the fit's 22 .* 17\.4% .* 5% is the most; give 0\.44, the least"
    with pytest.raises(ConfigError, match=said):
        SafetyStop(told, limit=0.3)
    with pytest.raises(ConfigError, match=r"1 of the fit's 22 .* 8\.7% "):
        SafetyStop(told, limit=0.43)
    nearly = fit(margin=0.1, left_out=runs_of_a_fit(*[0.15] * 37, 0.435))
    with pytest.raises(ConfigError, match=r"up to 5\.1% of further ones, and 5% is the most"):
        SafetyStop(nearly, limit=0.3)
    assert SafetyStop(told, limit=0.44).limit == 0.44
    assert SafetyStop(told, limit=0.3, patience=3).limit == 0.3  # None is above it three times.


def test_a_limit_is_refused_with_the_least_that_holds() -> None:
    told = fit(margin=0.1, left_out=runs_of_a_fit(*[0.15] * 22))
    with pytest.raises(ConfigError, match=r"it would stop every run; give 0\.15, the least"):
        SafetyStop(told, limit=0.05)
    odd = fit(left_out=(*runs_of_a_fit(*[0.15] * 19), LeftOut(0.95, (1.0, 1.0, 1.0), 9.0)))
    with pytest.raises(ConfigError, match=r"give 0\.15, the least limit that holds; no higher"):
        SafetyStop(odd, limit=0.97)
    with pytest.raises(ConfigError, match=r"no limit holds .* watch without `safety_stop`"):
        SafetyStop(fit(left_out=runs_of_a_fit(*[1.0] * 20)), limit=0.5)


@pytest.mark.parametrize("weak", [{"within": 0.79}, {"between": 0.69}, {"runs": 19}])
def test_a_fit_below_the_bar_stops_no_run(weak: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot stop a run"):
        SafetyStop(fit(**weak))


def test_boost_needs_one_steerable_defense() -> None:
    trainer = new_trainer([])
    trainer.add_callback(DriftWatch(trainer, probes(), 1, [SafetyStop(fit(), action="boost")]))
    with pytest.raises(ConfigError, match="has 0"):
        trainer.train()
