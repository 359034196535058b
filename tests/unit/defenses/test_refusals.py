"""Repairs whose refusals the aligned model writes ask before step 0 whether there are any."""

from dataclasses import replace

import pytest
from transformers import TrainerCallback

from holdfast import NaturalRepair, RefusalSFT
from holdfast.defenses import refusals as refusing
from holdfast.defenses.one_shot import OneShot
from holdfast.errors import RunError
from holdfast.training.standalone import standalone_run
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, REFUSALS, farthest, lora, trainer_of, weights_of

REPAIRS = [
    (NaturalRepair, {"steps": 1}),
    (OneShot, {"steps": 1, "candidates": 1}),
    (RefusalSFT, {"steps": 1}),
]
NO, YES = "sorry I cannot", "make the sum"


class Told(TrainerCallback):
    def __init__(self):
        self.steps = 0

    def on_step_end(self, *_, **__):
        self.steps += 1


@pytest.fixture
def asked(monkeypatch):
    """Let the model answer by a list, and note how many prompts were asked at a time."""
    sizes, says = [], {"refused": set()}

    def answers(_run, rows, *_):
        sizes.append(len(rows))
        return [NO if rows_of.index(row) in says["refused"] else YES for row in rows]

    rows_of = HARMFUL
    monkeypatch.setattr(refusing, "answers", answers)
    return sizes, says


def begun(folder, kind, options, **more):
    trainer = trainer_of(folder, [kind(harmful=HARMFUL, **options, **more)], lora(tiny_model()))
    counted = Told()
    trainer.add_callback(counted)
    return trainer, counted


@pytest.mark.parametrize(("kind", "options"), REPAIRS)
def test_a_model_that_never_refuses_is_told_before_the_first_step(tmp_path, asked, kind, options):
    sizes, _ = asked
    trainer, counted = begun(tmp_path, kind, options)
    before = weights_of(trainer.model)
    with pytest.raises(RunError, match="refuses none of the 10"):
        trainer.train()
    assert counted.steps == 0
    assert sizes == [8, 2]
    assert farthest(weights_of(trainer.model), before) == 0


@pytest.mark.parametrize(("kind", "options"), REPAIRS)
def test_who_refuses_once_is_asked_no_further(tmp_path, asked, kind, options):
    sizes, says = asked
    says["refused"] = {7, 9}
    trainer, counted = begun(tmp_path, kind, options)
    trainer.train()
    assert counted.steps == 4
    assert sizes[:2] == [8, 10]  # Eight before the steps; behind them all.


@pytest.mark.parametrize("more", [{"safe": REFUSALS}, {"off": True}])
def test_who_needs_no_answers_asks_for_none(tmp_path, asked, more):
    sizes, _ = asked
    options = {"step": 0.0} if more.get("off") else {"steps": 1, **more, "enough": None}
    trainer, _ = begun(tmp_path, NaturalRepair, {**options, "max_task_drop": 1.0})
    trainer.train()
    assert 8 not in sizes


def test_the_question_changes_no_bit_of_the_training(tmp_path):
    model = lora(tiny_model())
    defense = NaturalRepair(harmful=HARMFUL, max_new_tokens=2)
    asking = trainer_of(tmp_path / "a", [defense], model)
    plain = trainer_of(tmp_path / "p", [], lora(tiny_model()))
    plain.train()
    defense.check_run = lambda run: caught(run, defense)
    defense.after = lambda _: None
    asking.train()
    assert farthest(weights_of(asking.model), weights_of(plain.model)) == 0


def caught(run, defense):
    with pytest.raises(RunError):
        NaturalRepair.check_run(defense, run)


def test_a_run_that_goes_on_asks_nothing(tmp_path, asked):
    sizes, says = asked
    says["refused"] = {0}
    how = {"save_strategy": "steps", "save_steps": 2}
    defense = RefusalSFT(harmful=HARMFUL, steps=1)
    trainer_of(tmp_path, [defense], lora(tiny_model()), **how).train()
    sizes.clear()
    again = trainer_of(tmp_path, [defense], lora(tiny_model()), **how)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert sizes == [10]


def test_the_search_ends_as_a_stage_where_the_first_refusal_is(asked):
    """A log said "24 of 40, 2 min so far" while the training had begun."""
    _, says = asked
    says["refused"] = {9}
    told = []
    run = replace(standalone_run(lora(tiny_model())), progress=lambda *at: told.append(at[1:3]))
    refusing.check_refuses(run, NaturalRepair(harmful=HARMFUL))
    assert told == [(0, 10), (8, 10), (10, 10)]
    says["refused"], told[:] = {1}, []
    refusing.check_refuses(run, NaturalRepair(harmful=HARMFUL))
    assert told == [(0, 10), (8, 8)]
