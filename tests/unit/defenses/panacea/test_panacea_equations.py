"""Panacea's equations 1 to 3, in the loop and after it, against plain autograd."""

import math

import pytest
import torch

from holdfast import Panacea, SecureTrainer
from holdfast.defenses.panacea import harmful_ascent
from holdfast.errors import ConfigError, ConflictError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm
from tests.tiny import CONFIGS, tiny_model
from tests.unit.defenses.tiny_runs import (
    HARMFUL,
    batch_of,
    encoded,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.5}


def in_loop(**options):
    options = {"batch_size": 5, "rho": 0.5, **options}
    return Panacea(harmful=HARMFUL, mode="in-loop", **options)


class Stopped(SecureTrainer):
    """Leaves out ``after``, so that the trajectory alone is seen."""

    def train(self, *args, **kwargs):
        for defense in self.defenses:
            defense.after = lambda run: None
        return super().train(*args, **kwargs)


def trajectory(folder, defenses, **options):
    return weights_of(trained(folder, defenses, kind=Stopped, **options).model)


@pytest.mark.parametrize("rho", [0.01, 1.0, 5.0])
def test_epsilon_has_the_radius(rho):
    engine = LocalEngine(tiny_model())
    eps = harmful_ascent(engine, [batch_of(HARMFUL)], rho)
    assert math.isclose(global_norm(eps), rho, rel_tol=1e-5)


@pytest.mark.parametrize("arch", CONFIGS)
def test_epsilon_raises_the_harmful_loss(arch):
    engine, batch = LocalEngine(tiny_model(arch)), batch_of(HARMFUL)
    eps = harmful_ascent(engine, [batch], 0.1)
    here = float(engine.loss(batch).detach())
    with engine.shifted(eps):
        ahead = float(engine.loss(batch).detach())
    with engine.shifted(eps, -1.0):
        behind = float(engine.loss(batch).detach())
    assert behind < here < ahead


def harmful_loss(model, batch):
    return model(**batch).loss


def equation_three(model, user, harmful, rho, lam, cap, rate):
    """One step of eq. 3 written out with torch.autograd and nothing of ours."""
    names, params = zip(*model.named_parameters(), strict=True)
    g = torch.autograd.grad(model(**user).loss, params)
    h0 = torch.autograd.grad(harmful_loss(model, harmful), params)
    norm = torch.sqrt(sum((h.double() ** 2).sum() for h in h0))
    eps = [rho * h / (norm + 1e-7) for h in h0]
    start = [p.detach().clone() for p in params]
    with torch.no_grad():
        for p, e in zip(params, eps, strict=True):
            p.add_(e)
    ahead = harmful_loss(model, harmful).clamp(max=cap)
    h1 = torch.autograd.grad(ahead, params)
    return {
        n: w + rate * (lam * (b - a) - d)
        for n, w, d, a, b in zip(names, start, g, h0, h1, strict=True)
    }


@pytest.mark.parametrize("cap", [50.0, 1.0])  # Under a cap of 1 the inner gradient is 0.
def test_one_step_is_equation_three(cap, tmp_path):
    rho, lam, rate = 0.3, 0.4, 0.5
    rows = encoded()[:4]
    expected = equation_three(
        tiny_model(), trainer_of(tmp_path).data_collator(rows), batch_of(HARMFUL[:5]),
        rho, lam, cap, rate,
    )  # fmt: skip
    defense = in_loop(rho=rho, lam=lam, cap=cap)
    found = trajectory(tmp_path, [defense], rows=rows, max_steps=1, **SGD)
    moved = {n: p.detach() for n, p in tiny_model().named_parameters()}
    plain = trajectory(tmp_path, [], rows=rows, max_steps=1, **SGD)
    assert farthest(found, expected) < 1e-6
    assert farthest(found, plain) > 1e-4
    assert farthest(found, moved) > 1e-3


@pytest.mark.parametrize("peft", [False, True])
def test_lambda_zero_is_the_plain_trajectory_bit_for_bit(peft, tmp_path):
    def model():
        return lora(tiny_model(), lora_dropout=0.3) if peft else tiny_model()

    plain = trajectory(tmp_path, [], model=model())
    found = trajectory(tmp_path, [in_loop(lam=0.0)], model=model())
    assert farthest(plain, found) == 0
    assert farthest(plain, trajectory(tmp_path, [in_loop(lam=0.1)], model=model())) > 0


def test_in_loop_serves_the_last_weights_plus_the_last_epsilon(tmp_path):
    plain = trajectory(tmp_path, [])
    defense = in_loop(lam=0.0)
    trainer = trained(tmp_path, [defense])
    eps = trainer.artifacts[0].tensors["perturbation"]
    added = {n: w - plain[n] for n, w in weights_of(trainer.model).items()}
    assert farthest(added, eps) < 1e-6
    assert all(torch.equal(defense.direction_[n], e) for n, e in eps.items())
    assert math.isclose(global_norm(eps), 0.5, rel_tol=1e-5)


def counted(monkeypatch):
    """Count engine passes by their number of batches."""
    calls = []
    gradients = LocalEngine.gradients

    def counting(self, batches, loss=None):
        calls.append(loss is not None)
        return gradients(self, batches, loss)

    monkeypatch.setattr(LocalEngine, "gradients", counting)
    return calls


@pytest.mark.parametrize(("every", "passes"), [(1, 4), (2, 2), (3, 2), (4, 1)])
def test_every_k_th_step_runs_the_harmful_passes(every, passes, monkeypatch, tmp_path):
    calls = counted(monkeypatch)
    trajectory(tmp_path, [in_loop(every=every)])
    assert calls == [False, True] * passes  # One pass at w, one at w + ε.


def test_every_keeps_lambda_per_step(tmp_path):
    """λ is multiplied by k where the term is added, which 1 step in k is."""
    often = trajectory(tmp_path, [in_loop(lam=0.4, every=1)], max_steps=1, **SGD)
    seldom = trajectory(tmp_path, [in_loop(lam=0.2, every=2)], max_steps=1, **SGD)
    assert farthest(often, seldom) < 1e-7


def test_accumulation_equals_one_large_batch(monkeypatch, tmp_path):
    # At SGD's own rate of .5 the loss rises, and rounding with it, on some CPUs above the bound.
    calls, calm = counted(monkeypatch), {**SGD, "learning_rate": 0.05}
    whole = trajectory(tmp_path, [in_loop(lam=0.4)], **calm)
    assert len(calls) == 8
    parts = trajectory(
        tmp_path, [in_loop(lam=0.4)], per_device_train_batch_size=1,
        gradient_accumulation_steps=4, **calm,
    )  # fmt: skip
    assert len(calls) == 16  # Twice per optimizer step, not per micro-batch.
    assert farthest(whole, parts) < 1e-6
    assert farthest(whole, trajectory(tmp_path, [], **calm)) > 1e-4


def test_the_user_is_never_shown_moved_weights(tmp_path):
    """The user's passes and the optimizer see w, never w + ε: with λ → 0 nothing changes."""
    plain = trajectory(tmp_path, [], **SGD)
    small = trajectory(tmp_path, [in_loop(lam=1e-9, rho=100.0)], **SGD)
    assert farthest(plain, small) < 1e-6


def test_both_losses_are_logged(tmp_path):
    trainer = trained(tmp_path, [in_loop()])
    rows = [row for row in trainer.state.log_history if "loss" in row]
    assert len(rows) == 4
    assert all({"panacea/harmful_loss", "panacea/harmful_loss_ahead"} <= row.keys() for row in rows)


def test_in_loop_resumes_exactly(tmp_path):
    defense = in_loop(every=3, lam=0.3)
    whole = trained(tmp_path, [defense], save_strategy="steps", save_steps=2)
    again = trainer_of(tmp_path, [in_loop(every=3, lam=0.3)], save_strategy="steps", save_steps=2)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) == 0


@pytest.mark.parametrize("mode", ["post-hoc", "in-loop"])
def test_rho_zero_is_plain_training(mode, tmp_path):
    plain = weights_of(trained(tmp_path).model)
    found = trained(tmp_path, [Panacea(harmful=HARMFUL, rho=0, mode=mode)])
    assert farthest(plain, weights_of(found.model)) == 0


@pytest.mark.parametrize(
    "bad",
    [
        {"rho": -1}, {"rho": None}, {"rho": float("nan")}, {"kappa": -0.1}, {"lam": -1},
        {"every": 0}, {"batch_size": 0}, {"batches": 0}, {"batches": -1}, {"cap": -1},
        {"max_task_drop": 1.1}, {"mode": "inloop"}, {"scales": (0.5, 1.0)}, {"scales": ()},
        {"scales": (0.0, 1.0, 0.5)}, {"harmful": []}, {"harmful": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Panacea(**{"harmful": HARMFUL, **bad}).validate()


def test_half_precision_is_refused_before_training(tmp_path):
    with pytest.raises(ConflictError, match="float32"):
        trainer_of(tmp_path, [Panacea(harmful=HARMFUL)], model=tiny_model().bfloat16())
