"""Safety projection: the step in closed form, its cap, and turns that follow the loss."""

from math import inf, sqrt
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import SafetyProjection, Vaccine
from holdfast.comparisons.fronts import distance_from
from holdfast.defense import Run, Step
from holdfast.defenses.safety_projection import correction_factor
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    REFUSALS,
    batch_of,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD: dict[str, Any] = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
SLOPE = torch.tensor([3.0, -4.0])


def projection(**options: Any) -> SafetyProjection:
    return SafetyProjection(**{"safe": REFUSALS, "batch_size": 4, **options})


class LinearLoss(nn.Module):
    """Its loss is slope · w + 1: linear, so that one step's end is known."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0, 1.0]))

    def forward(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(loss=SLOPE @ self.w + 1)


def corrected(defense: SafetyProjection, update: Tensor) -> tuple[LinearLoss, Tensor]:
    """Let the user's update move w, and return the model and w before the correction."""
    model = LinearLoss()
    batch = {"input_ids": torch.ones(1, 2, dtype=torch.long), "labels": torch.ones(1, 2).long()}
    run = Run(model, LocalEngine(model), list, lambda _: dict(batch), 0)
    step = Step(run, 0, 4)
    if "gradient" not in defense.idle():
        defense.gradient(step, lambda: torch.zeros(()))
    with torch.no_grad():
        model.w += update
    start = model.w.detach().clone()
    defense.after_update(step)
    return model, start


def loss_of(w: Tensor) -> float:
    return float(SLOPE @ w.detach() + 1)


@pytest.mark.parametrize("tau", [0.0, 0.5, 2.5])
def test_a_linear_loss_ends_at_tau_exactly(tau: float):
    model, start = corrected(projection(tau=tau, kappa=None), torch.tensor([0.5, 0.0]))
    assert loss_of(start) == 4.5
    assert loss_of(model.w) == pytest.approx(tau, abs=1e-6)
    # The shortest way there is along the gradient.
    assert torch.allclose(start - model.w.detach(), (4.5 - tau) / 25 * SLOPE)


def test_a_loss_at_tau_or_below_is_not_touched():
    for tau in (4.5, 5.0):
        defense = projection(tau=tau, kappa=None)
        model, start = corrected(defense, torch.tensor([0.5, 0.0]))
        assert torch.equal(model.w, start)
        assert defense.metrics()["corrected"] == 0
        assert defense.metrics()["loss"] == 4.5


@pytest.mark.parametrize("kappa", [0.25, 0.5])
def test_the_cap_is_in_lengths_of_the_users_update(kappa: float):
    defense = projection(tau=0.0, kappa=kappa)
    model, start = corrected(defense, torch.tensor([0.3, 0.4]))  # The update is 0.5 long.
    assert float((start - model.w.detach()).norm()) == pytest.approx(kappa * 0.5, abs=1e-6)
    assert torch.allclose((start - model.w.detach()) / (kappa * 0.5), SLOPE / 5, atol=1e-5)
    assert defense.metrics()["length_over_update"] == pytest.approx(kappa)
    # A cap that is longer than the way there caps nothing.
    model, _ = corrected(projection(tau=0.0, kappa=10.0), torch.tensor([0.3, 0.4]))
    assert loss_of(model.w) == pytest.approx(0.0, abs=1e-6)


def test_the_factor_in_closed_form():
    assert correction_factor(1.0, 1.0, 2.0) == 0
    assert correction_factor(3.0, 1.0, 2.0) == 0.5
    assert correction_factor(3.0, 1.0, 2.0, longest=0.5) == 0.25
    assert correction_factor(3.0, 1.0, 0.0) == 0  # No direction, and no division by 0.
    assert correction_factor(3.0, inf, 2.0) == 0


def by_hand(model: Any, users: list[Any], safe: list[Any], tau: float, kappa: float) -> Any:
    """The constrained descent written out, with plain gradient descent as the user's."""
    params = trainable(model)

    def slope(batch: Any) -> tuple[float, list[Tensor]]:
        loss = model(**batch).loss
        return float(loss), list(torch.autograd.grad(loss, list(params.values())))

    for number, batch in enumerate(users):
        _, own = slope(batch)
        with torch.no_grad():
            for p, g in zip(params.values(), own, strict=True):
                p.sub_(0.1 * g)
        loss, g = slope(safe[number % len(safe)])
        length = sqrt(sum(float(one.double().square().sum()) for one in g))
        users_length = 0.1 * sqrt(sum(float(one.double().square().sum()) for one in own))
        if loss > tau:
            factor = min((loss - tau) / length**2, kappa * users_length / length)
            with torch.no_grad():
                for p, one in zip(params.values(), g, strict=True):
                    p.sub_(factor * one)
    return weights_of(model)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kappa", [0.5, None], ids=["capped", "uncapped"])
def test_a_run_is_the_constrained_descent(tmp_path: Any, adapted: bool, kappa: float | None):
    def start() -> Any:
        return lora(tiny_model()) if adapted else tiny_model()

    defense = projection(tau=3.0, kappa=kappa)
    trainer = trainer_of(tmp_path, [defense], model=start(), **SGD)
    users: list[Any] = []
    own: Any = trainer.training_step

    def watching(model: Any, inputs: Any, *args: Any) -> Any:
        users.append(dict(inputs))
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    safe = [batch_of(REFUSALS[:4]), batch_of(REFUSALS[4:8]), batch_of(REFUSALS[8:])]
    expected = by_hand(start(), users, safe, 3.0, inf if kappa is None else kappa)
    assert defense.metrics()["corrected"] > 0
    assert farthest(weights_of(trainer.model), expected) <= 1e-5
    assert farthest(weights_of(start()), expected) > 1e-3


def test_a_level_that_is_never_passed_is_plain_bit_for_bit(tmp_path: Any):
    plain = trained(tmp_path / "plain")
    for mode in ("project", "alternate"):
        defense = projection(tau=1e9, mode=mode)
        weights = weights_of(trained(tmp_path / mode, [defense]).model)
        assert farthest(weights, weights_of(plain.model)) == 0
        assert defense.metrics()["corrected"] == 0


def test_nothing_runs_at_an_infinite_level(tmp_path: Any):
    off = trained(tmp_path / "off", [SafetyProjection(tau=inf)])
    assert off.trace.counts == {}
    assert farthest(weights_of(off.model), weights_of(trained(tmp_path / "plain").model)) == 0


def test_alternating_gives_every_other_step_to_refusals_while_they_are_above(tmp_path: Any):
    def run(tau: float, folder: str) -> tuple[Any, Any]:
        defense = projection(tau=tau, mode="alternate")
        trainer = trainer_of(
            tmp_path / folder, [defense], max_steps=5, per_device_train_batch_size=2,
            gradient_accumulation_steps=2, **SGD,
        )  # fmt: skip
        users: list[int] = []
        trainer.model.register_forward_pre_hook(
            lambda m, _a, given: users.append(len(given["input_ids"])) if m.training else None,
            with_kwargs=True,
        )
        trainer.train()
        return defense, users

    defense, users = run(0.0, "all")
    assert users == [2] * 6, "the first step and every other one is the user's, whole"
    assert defense.metrics()["corrected"] == pytest.approx(2 / 3)
    assert run(1e9, "none")[1] == [2] * 10


def test_beside_vaccine_whose_passes_are_two_the_turns_are_those_of_the_steps(tmp_path: Any):
    """Deciding at each pass gave every step that counts to refusals, and none to the user."""

    def run(folder: str, *outer: Any) -> tuple[Any, Any]:
        defense = projection(tau=0.0, mode="alternate")
        trained(tmp_path / folder, [*outer, defense], **SGD)
        return defense.counts_, defense.turn_

    assert run("beside", Vaccine(rho=1e-3)) == run("alone")
    assert run("beside", Vaccine(rho=1e-3))[0] == {"updates": 2, "corrections": 2}


@pytest.mark.parametrize("mode", ["project", "alternate"])
def test_a_second_run_begins_anew(tmp_path: Any, mode: Any):
    defense = projection(tau=0.0, mode=mode)
    first, again = (trained(tmp_path / f, [defense], max_steps=3) for f in ("first", "again"))
    assert farthest(weights_of(first.model), weights_of(again.model)) == 0
    wanted = {"updates": 3, "corrections": 3} if mode == "project" else {
        "updates": 2, "corrections": 1
    }  # fmt: skip
    assert defense.counts_ == wanted


@pytest.mark.parametrize("micro", [1, 2])
def test_an_alternating_step_descends_the_loss_on_refusals(tmp_path: Any, micro: int):
    """Once per update, however many micro-batches it has."""
    parts: dict[str, Any] = {
        "per_device_train_batch_size": 4 // micro, "gradient_accumulation_steps": micro
    }  # fmt: skip
    defense = projection(tau=0.0, mode="alternate")
    trainer = trained(tmp_path, [defense], max_steps=2, **SGD, **parts)
    model: Any = trained(tmp_path / "one", max_steps=1, **SGD).model
    loss = model(**batch_of(REFUSALS[4:8])).loss
    loss.backward()
    with torch.no_grad():
        for p in trainable(model).values():
            p.sub_(torch.zeros_like(p) if p.grad is None else 0.1 * p.grad)
    assert farthest(weights_of(trainer.model), weights_of(model)) <= 1e-6
    last = [row for row in trainer.state.log_history if "loss" in row][-1]
    assert last["loss"] == pytest.approx(float(loss.detach()), abs=1e-4)


def test_a_resumed_run_goes_on_in_its_turn_and_with_its_counts(tmp_path: Any):
    options: dict[str, Any] = {"max_steps": 6, "save_strategy": "steps", "save_steps": 3}

    def make() -> SafetyProjection:
        return projection(tau=0.0, mode="alternate")

    whole = trained(tmp_path / "whole", [make()], **options)
    again = trainer_of(tmp_path / "again", [make()], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) <= 1e-6
    assert again.defenses[0].metrics()["corrected"] == 1
    assert again.defenses[0].state() == whole.defenses[0].state()


def test_figures_are_logged(tmp_path: Any):
    trainer = trained(tmp_path, [projection(tau=0.0, kappa=0.5)])
    last = [row for row in trainer.state.log_history if "loss" in row][-1]
    assert last["safety_projection/corrected"] == 1
    assert last["safety_projection/loss"] > 0
    assert last["safety_projection/length"] > 0
    assert 0 < last["safety_projection/length_over_update"] <= 0.5 + 1e-6


def test_a_broken_loss_names_its_batch(tmp_path: Any):
    with pytest.raises(DivergedError, match="batch 1 of the safe rows"):
        trained(tmp_path, [projection(tau=0.0)], learning_rate=1e30, optim="sgd")


def test_variants_are_named_for_what_they_are():
    assert projection().variant().label == ""
    assert projection(kappa=None).variant().label == "uncapped"
    assert projection(mode="alternate").variant().label == "alternate"
    assert SafetyProjection(tau=inf).variant().control


def test_strengths_are_ordered_from_an_infinite_off():
    taus = (0.0, 0.2, 3.0, inf)
    assert sorted(taus, key=lambda tau: distance_from(tau, inf)) == [inf, 3.0, 0.2, 0.0]
    assert distance_from(0.25, 1.0) == 0.75


@pytest.mark.parametrize(
    "bad",
    [
        {"tau": -1.0}, {"tau": float("nan")}, {"tau": True}, {"tau": "0.2"}, {"kappa": -1.0},
        {"kappa": 0}, {"kappa": inf}, {"mode": "penalty"}, {"batch_size": 0}, {"batch_size": 1.5},
        {"kappa": 2.0, "mode": "alternate"}, {"safe": []}, {"safe": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad: dict[str, Any]):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        projection(**bad).validate()
