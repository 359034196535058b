"""Booster: its gradient against autograd and finite differences, its passes and its refusals."""

import math

import pytest
import torch

from holdfast import Booster, Panacea, SecurityVectors
from holdfast.defenses.booster import attenuate
from holdfast.errors import ConfigError, ConflictError, DivergedError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    encoded,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.1}


def booster(**options):
    return Booster(**{"harmful": HARMFUL, "lam": 0.4, "alpha": 0.3, "batch_size": 5, **options})


def double_model():
    """Float64, so that differences of losses are exact enough to be gradients."""
    return tiny_model().double()


def left_in_grad(model):
    return {name: p.grad.clone() for name, p in trainable(model).items()}


@pytest.mark.parametrize("alpha", [0.01, 0.1, 1.0])
def test_the_harmful_step_has_its_length_and_lowers_the_harmful_loss(alpha):
    engine, batch = LocalEngine(tiny_model()), batch_of(HARMFUL)
    seen = attenuate(engine, batch, alpha, 1.0)
    assert math.isclose(global_norm(seen.direction), alpha, rel_tol=1e-5)
    assert seen.loss_there is not None
    assert seen.loss_there < seen.loss_here
    assert float(engine.loss(batch).detach()) == seen.loss_here  # The weights are back.
    with engine.shifted(seen.direction, -1.0):
        assert float(engine.loss(batch).detach()) == pytest.approx(seen.loss_there, abs=1e-6)


def test_the_gradient_is_that_of_the_gain_with_the_step_held_fixed():
    """Along random directions, central differences of λ[h(w) − h(w − δ)] with δ fixed."""
    model, batch, lam, alpha = double_model(), batch_of(HARMFUL), 3.0, 0.5
    params = trainable(model)
    grads = torch.autograd.grad(model(**batch).loss, list(params.values()))
    norm = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
    delta = [alpha * g / norm for g in grads]
    start = [p.detach().clone() for p in params.values()]

    @torch.no_grad()
    def loss_at(*moves):
        for p, w, *by in zip(params.values(), start, *moves, strict=True):
            p.copy_(w + sum(by))
        value = float(model(**batch).loss)
        for p, w in zip(params.values(), start, strict=True):
            p.copy_(w)
        return value

    def gain(move):
        return lam * (loss_at(move) - loss_at(move, [-d for d in delta]))

    attenuate(LocalEngine(model), batch, alpha, lam)
    found, rng, small = left_in_grad(model), torch.Generator().manual_seed(5), 1e-2
    steepest, size = list(found.values()), global_norm(found)
    for share in (0.0, 0.5, 1.0):  # Of a random direction, mixed with the steepest one.
        way = [
            torch.randn(w.shape, generator=rng, dtype=w.dtype) / 100 * share + g / size
            for w, g in zip(start, steepest, strict=True)
        ]
        slope = (gain([small * v for v in way]) - gain([-small * v for v in way])) / (2 * small)
        ours = sum(float((g * v).sum()) for g, v in zip(steepest, way, strict=True))
        assert ours == pytest.approx(slope, rel=5e-3)


def test_descent_on_the_term_attenuates_what_a_harmful_step_gains():
    model, batch = tiny_model(), batch_of(HARMFUL)
    engine = LocalEngine(model)
    gains = []
    for _ in range(5):
        model.zero_grad()
        seen = attenuate(engine, batch, 0.1, 1.0)
        assert seen.loss_there is not None
        gains.append(seen.loss_here - seen.loss_there)
        with torch.no_grad():
            for p in trainable(model).values():
                assert p.grad is not None
                p.sub_(0.3 * p.grad)
    assert gains == sorted(gains, reverse=True)
    assert 0 < gains[-1] < 0.95 * gains[0]


def test_it_is_the_step_of_panacea_with_the_opposite_sign(tmp_path):
    """For a small step ∇h(w) − ∇h(w − ε) and ∇h(w) − ∇h(w + ε) are opposite."""
    model, batch = double_model(), batch_of(HARMFUL[:5])
    attenuate(LocalEngine(model), batch, 1e-4, 1.0)
    ours = left_in_grad(model)

    class Still:  # A step of the paper's other method on a model whose own gradient is 0.
        engine, number, last = LocalEngine(model), 0, True
        run = trainer_of(tmp_path)._holdfast_run()

    model.zero_grad(set_to_none=True)
    panacea = Panacea(harmful=HARMFUL, mode="in-loop", rho=1e-4, lam=1.0, batch_size=5, cap=50.0)
    panacea.gradient(Still, lambda: torch.zeros(()))
    theirs = left_in_grad(model)
    size = global_norm(ours)
    assert size > 0
    assert global_norm({n: ours[n] + theirs[n] for n in ours}) < 1e-2 * size


def by_hand(model, user, harmful, lam, alpha, rate):
    """One step of plain gradient descent, with torch.autograd and nothing of ours."""
    params = trainable(model)
    tensors = list(params.values())
    f = torch.autograd.grad(model(**user).loss, tensors)
    here = torch.autograd.grad(model(**harmful).loss, tensors)
    norm = torch.sqrt(sum((g.double() ** 2).sum() for g in here))
    start = [p.detach().clone() for p in tensors]
    with torch.no_grad():
        for p, g in zip(tensors, here, strict=True):
            p.sub_((alpha * g / norm).to(p))
    ahead = torch.autograd.grad(model(**harmful).loss, tensors)
    return {
        name: w - rate * (g + lam * (a - b))
        for name, w, g, a, b in zip(params, start, f, here, ahead, strict=True)
    }


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_one_step_of_a_run_is_the_equation(tmp_path, adapted):
    def start():
        return lora(tiny_model()) if adapted else tiny_model()

    rows = encoded()[:4]
    user = trainer_of(tmp_path).data_collator(rows)
    expected = by_hand(start(), user, batch_of(HARMFUL[:5]), 0.4, 0.3, 0.1)
    one = {"rows": rows, "max_steps": 1, **SGD}
    found = weights_of(trained(tmp_path, [booster()], model=start(), **one).model)
    plain = weights_of(trained(tmp_path, model=start(), **one).model)
    assert farthest(found, expected) < 1e-6
    assert farthest(found, plain) > 1e-4


def test_two_harmful_passes_per_update_and_their_rows_come_round(tmp_path):
    trainer = trainer_of(
        tmp_path, [booster(batch_size=4)], per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    passes = []
    trainer.model.register_forward_pre_hook(
        lambda _m, _a, given: passes.append(given["input_ids"]), with_kwargs=True
    )
    trainer.train()
    assert [len(ids) for ids in passes] == [
        *(2, 2, 4, 4), *(2, 2, 4, 4), *(2, 2, 2, 2), *(2, 2, 4, 4)
    ]  # fmt: skip
    harmful = [batch_of(rows)["input_ids"] for rows in (HARMFUL[:4], HARMFUL[4:8], HARMFUL[8:])]
    for update in range(4):
        for ids in passes[4 * update + 2 : 4 * update + 4]:
            assert torch.equal(ids, harmful[update % 3])


def test_lambda_zero_runs_no_pass_and_is_plain_bit_for_bit(tmp_path):
    def start():
        return lora(tiny_model(), lora_dropout=0.3)

    plain = weights_of(trained(tmp_path, model=start()).model)
    found = trained(tmp_path, [booster(lam=0.0)], model=start())
    assert farthest(plain, weights_of(found.model)) == 0
    assert ("booster", "gradient") not in found.trace.counts


def test_the_weights_are_restored_and_no_random_number_is_drawn(tmp_path):
    """With λ so small that the term rounds away, dropout included, nothing else has changed."""

    def start():
        return lora(tiny_model(), lora_dropout=0.3)

    plain = weights_of(trained(tmp_path, model=start()).model)
    found = weights_of(trained(tmp_path, [booster(lam=1e-38)], model=start()).model)
    assert farthest(plain, found) == 0


def test_both_losses_are_logged(tmp_path):
    history = trained(tmp_path, [booster()]).state.log_history
    logs = [row for row in history if "loss" in row]
    assert len(logs) == 4
    assert all(0 < row["booster/harmful_loss_ahead"] < row["booster/harmful_loss"] for row in logs)


def test_a_broken_harmful_loss_names_its_batch(tmp_path, monkeypatch):
    own = LocalEngine.loss
    monkeypatch.setattr(LocalEngine, "loss", lambda self, batch: own(self, batch) * float("nan"))
    with pytest.raises(DivergedError, match=r"step 0 .* batch 1 of the harmful rows"):
        trained(tmp_path, [booster()])


def test_an_attached_vector_is_refused(tmp_path):
    vectors = SecurityVectors(harmful=HARMFUL, benign=BENIGN)
    with pytest.raises(ConflictError, match="align with booster first"):
        trainer_of(tmp_path, [booster(), vectors])


def test_half_precision_is_refused_before_training(tmp_path):
    with pytest.raises(ConflictError, match="float32"):
        trainer_of(tmp_path, [booster()], model=tiny_model().bfloat16())


@pytest.mark.parametrize(
    "bad",
    [
        {"lam": -1}, {"lam": float("nan")}, {"alpha": -0.1}, {"alpha": 0}, {"batch_size": 0},
        {"batch_size": 1.5}, {"harmful": []}, {"harmful": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        booster(**bad).validate()
