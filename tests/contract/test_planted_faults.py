"""Every check of the contract catches the fault it is there for."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from holdfast.errors import ConfigError, ConflictError
from holdfast.testing import stacks
from holdfast.training import lifecycle, trainer
from holdfast.training.compose import composed
from holdfast.training.session import Session
from tests.contract import checks, planted
from tests.contract.probes import Planted, card
from tests.contract.runs import FULL, LORA, LORA_ON_BF16


@pytest.mark.slow
def test_the_base_of_the_broken_defenses_keeps_the_contract():
    checks.check_no_defense_is_plain(FULL)
    checks.check_strength_zero(Planted, FULL)
    checks.check_acts(Planted, FULL)
    checks.check_trace(Planted, FULL)
    checks.check_accumulation(Planted, FULL)
    checks.check_seeds(Planted, FULL)
    checks.check_resume(Planted, FULL)
    checks.check_checkpoint(Planted, FULL)
    checks.check_leaves_nothing(Planted, LORA_ON_BF16)
    checks.check_leaves_nothing_after_errors(Planted, FULL)


FAULTS = [
    (checks.check_strength_zero, planted.ActsAtZero, FULL),
    (checks.check_strength_zero, planted.DrawsAtZero, FULL),
    (checks.check_acts, planted.Idle, FULL),
    (checks.check_accumulation, planted.ZeroesGradients, FULL),
    (checks.check_accumulation, planted.OncePerMicroBatch, FULL),
    (checks.check_seeds, planted.Unseeded, FULL),
    (checks.check_seeds, planted.SeedUnused, FULL),
    (checks.check_seeds, planted.Reseeds, FULL),
    (checks.check_resume, planted.Forgets, FULL),
    (checks.check_resume, planted.DisturbsSaving, FULL),
    (checks.check_checkpoint, planted.TellsTheSecret, FULL),
    (checks.check_checkpoint, planted.SavesAttached, FULL),
    (checks.check_leaves_nothing, planted.RestoresBySubtraction, LORA_ON_BF16),
    (checks.check_leaves_nothing, planted.LeavesHook, LORA),
    (checks.check_leaves_nothing, planted.TrainsFrozenWeights, LORA),
    (checks.check_leaves_nothing, planted.LeavesEvaluating, LORA),
    (checks.check_leaves_nothing, planted.ChangesType, LORA),
    (checks.check_leaves_nothing, planted.LeavesGradients, LORA),
    (checks.check_leaves_nothing, planted.LeavesAttribute, LORA),
    (checks.check_leaves_nothing_after_errors, planted.LeavesHookOnErrors, LORA),
    (checks.check_leaves_nothing_after_errors, planted.NotOnErrors, LORA),
]


@pytest.mark.parametrize(
    ("check", "make", "setting"), FAULTS, ids=[f"{c.__name__}-{m.__name__}" for c, m, _ in FAULTS]
)
def test_fault_is_caught(check, make, setting):
    with pytest.raises(AssertionError):
        check(make, setting)


def test_what_restores_from_a_copy_passes_where_subtraction_fails():
    checks.check_leaves_nothing(planted.Attaches, LORA_ON_BF16)
    checks.check_leaves_nothing_after_errors(planted.Attaches, LORA)


def test_state_that_is_no_json_is_caught():
    with pytest.raises(TypeError, match="not JSON serializable"):
        checks.check_checkpoint(planted.StateIsNoJson, FULL)


def test_an_engine_that_zeroes_gradients_is_caught():
    with pytest.raises(AssertionError, match="tensors differ"):
        checks.check_no_defense_is_plain(FULL, planted.ZeroesEngine)
    with pytest.raises(AssertionError, match="accumulation"):
        checks.check_accumulation(Planted, FULL, planted.ZeroesEngine)


def test_an_engine_that_skips_a_hook_is_caught():
    with pytest.raises(AssertionError, match="gradient never ran"):
        checks.check_trace(Planted, FULL, planted.DeafEngine)


def test_an_engine_that_keeps_its_callback_is_caught():
    with pytest.raises(AssertionError, match="callbacks"):
        checks.check_leaves_nothing(Planted, FULL, planted.ForgetfulEngine)


def test_an_engine_that_loses_the_session_is_caught(monkeypatch):
    lost: list[Session] = []  # Held, or the garbage collector would detach.
    monkeypatch.setattr(Session, "detach", lambda self: lost.append(self))  # noqa: PLW0108
    with pytest.raises(AssertionError):
        checks.check_leaves_nothing_after_errors(planted.Attaches, LORA)


def test_an_engine_that_keeps_the_defenses_rows_is_caught(monkeypatch):
    class Adds(Planted):
        def data(self, run, rows):
            return [dict(row) for row in rows]

    kept = trainer.SecureMixin.train

    def train(self, *args, **kwargs):
        made = kept(self, *args, **kwargs)
        self.train_dataset = list(self.train_dataset)
        return made

    checks.check_leaves_nothing(Adds, FULL)
    monkeypatch.setattr(trainer.SecureMixin, "train", train)
    with pytest.raises(AssertionError, match="rows"):
        checks.check_leaves_nothing(Adds, FULL)


class RefusesLate(Planted):
    def gradient(self, step, backward):
        if step.number == 1:
            raise ConfigError("planted: not on this adapter")
        return super().gradient(step, backward)


class RefusesNameless(Planted):
    def before(self, run):
        raise ConfigError("not on this adapter")


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (planted.Idle, "does nothing"),
        (RefusesLate, "refused after step 0"),
        (RefusesNameless, "does not name planted"),
    ],
)
@pytest.mark.parametrize("check", [stacks.check_adapters, stacks.check_packing])
def test_a_defense_that_neither_acts_nor_refuses_in_time_is_caught(check, cls, said):
    with pytest.raises(AssertionError, match=said):
        check(cls)


class TestPairs:
    @staticmethod
    def _other(**more):
        @dataclass
        class Other(Planted):
            card: ClassVar[Any] = card("other", **more)

        return Other

    def test_sound_pairs_pass(self):
        checks.check_pair(Planted, self._other())
        checks.check_pair(Planted, self._other(conflicts={"planted": "they clash"}))

    def test_a_pair_that_breaks_is_caught(self):
        class Breaks(self._other()):
            def gradient(self, step, backward):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            checks.check_pair(Planted, Breaks)

    def test_a_refusal_that_nobody_declared_is_caught(self, monkeypatch):
        def refusing(defenses):
            if len(defenses) > 1:
                raise ConflictError("planted and other: no")
            return composed(defenses)

        monkeypatch.setattr(lifecycle, "composed", refusing)
        with pytest.raises(AssertionError, match="undeclared"):
            checks.check_pair(Planted, self._other())

    def test_a_declared_conflict_that_trains_is_caught(self, monkeypatch):
        monkeypatch.setattr(lifecycle, "composed", tuple)
        with pytest.raises(AssertionError, match="not refused"):
            checks.check_pair(Planted, self._other(conflicts={"planted": "they clash"}))

    def test_a_swallowed_hook_is_caught(self):
        class Swallows(self._other()):
            """Runs the user's pass by itself, so the defense inside it never runs."""

            def gradient(self, step, backward):
                loss = step.engine.loss(self.last)
                loss.backward()
                return loss.detach()

            def batch(self, step, batch):
                self.last = dict(batch)
                return batch

        with pytest.raises(Exception, match="never ran"):
            checks.check_pair(Swallows, Planted)
