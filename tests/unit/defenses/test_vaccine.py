"""Vaccine: the perturbation, and the gradient under it, against autograd on explicit variables."""

import math

import pytest
import torch

from holdfast import Booster, SecureTrainer, Vaccine
from holdfast.defenses.vaccine import perturbation
from holdfast.defenses.vaccine import vaccine as home
from holdfast.defenses.vaccine.outputs import moved_outputs, recorded_gradients
from holdfast.errors import ConfigError, RunError
from holdfast.ops.gradients import global_norm
from holdfast.ops.modules import attentions, trainable
from tests.tiny import CONFIGS, HIDDEN, LAYERS, tiny_model
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

SGD = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.1}
NOTHING = 1e-30
"""A ρ that rounds away: both passes run and the hidden states stay as they are."""


def modules_of(model):
    return {str(n): m for n, m in enumerate(attentions(model))}


def with_variables(model, shape):
    """Add a zero variable to each attention's output, by its forward method and no hook."""
    deltas = [torch.zeros(shape, requires_grad=True) for _ in range(LAYERS)]
    for layer, delta in zip(attentions(model), deltas, strict=True):
        own = layer.forward

        def moved(*args, own=own, delta=delta, **kwargs):
            hidden, *rest = own(*args, **kwargs)
            return (hidden + delta, *rest)

        layer.forward = moved
    return deltas


def by_hand(model, batch, rho):
    """The loss, ∇_e f, ε and ∇_w f(w; e + ε), with torch.autograd and nothing of ours."""
    deltas = with_variables(model, (*batch["input_ids"].shape, HIDDEN))
    loss = model(**batch).loss
    slopes = torch.autograd.grad(loss, deltas)
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in slopes))
    with torch.no_grad():
        for delta, g in zip(deltas, slopes, strict=True):
            delta.copy_(rho * g / norm)
    params = trainable(model)
    worse = model(**batch).loss
    grads = torch.autograd.grad(worse, list(params.values()))
    values = {"loss": float(loss.detach()), "worse": float(worse.detach()), "norm": norm}
    return slopes, dict(zip(params, grads, strict=True)), values


@pytest.mark.parametrize("arch", CONFIGS)
def test_recorded_gradients_are_those_of_the_attentions_outputs(arch):
    batch = batch_of(HARMFUL[:3])
    wanted, _, _ = by_hand(tiny_model(arch).train(), batch, 1.0)
    model = tiny_model(arch).train()
    with recorded_gradients(modules_of(model)) as found:
        model(**batch).loss.backward()
    assert set(found) == {"0", "1"}
    for number, slope in enumerate(wanted):
        assert torch.allclose(found[str(number)], slope, atol=1e-7)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e6])
def test_epsilon_has_one_norm_over_all_layers_whatever_the_loss_is_scaled_by(scale):
    gradients = {"0": torch.randn(2, 3, 4) * scale, "1": 5 * torch.randn(2, 3, 4) * scale}
    eps = perturbation(gradients, 2.0)
    assert math.isclose(global_norm(eps), 2.0, rel_tol=1e-5)
    longer = float(eps["1"].norm() / eps["0"].norm())
    assert longer == pytest.approx(float(gradients["1"].norm() / gradients["0"].norm()), rel=1e-5)


def test_a_zero_gradient_moves_nothing():
    eps = perturbation({"0": torch.zeros(1, 2, 3)}, 2.0)
    assert eps["0"].tolist() == torch.zeros(1, 2, 3).tolist()


def test_epsilon_raises_the_loss_by_rho_times_the_slope():
    """A finite difference along ε: (f(e + ε) − f(e)) / ρ is ‖∇_e f‖."""
    _, _, values = by_hand(tiny_model(), batch_of(HARMFUL), 1e-2)
    model, batch = tiny_model().train(), batch_of(HARMFUL)
    modules, losses = modules_of(model), {}
    with recorded_gradients(modules) as found:
        model(**batch).loss.backward()
    for rho in (1e-2, -1e-2):
        eps = {n: rho * e for n, e in perturbation(found, 1.0).items()}
        with moved_outputs(modules, eps):
            losses[rho] = float(model(**batch).loss.detach())
    slope = (losses[1e-2] - losses[-1e-2]) / 2e-2
    assert slope == pytest.approx(values["norm"], rel=1e-2)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_one_step_of_a_run_is_descent_under_the_perturbation(tmp_path, adapted):
    def start():
        return lora(tiny_model()) if adapted else tiny_model()

    rows = encoded()[:4]
    batch = trainer_of(tmp_path).data_collator(rows)
    _, grads, values = by_hand(start(), batch, 0.7)
    expected = {n: w - 0.1 * grads[n] for n, w in weights_of(start()).items()}
    one = {"rows": rows, "max_steps": 1, **SGD}
    trainer = trained(tmp_path, [Vaccine(rho=0.7)], model=start(), **one)
    plain = weights_of(trained(tmp_path, model=start(), **one).model)
    assert farthest(weights_of(trainer.model), expected) < 1e-6
    assert farthest(weights_of(trainer.model), plain) > 1e-4
    log = trainer.state.log_history[0]
    assert log["vaccine/loss_clean"] == pytest.approx(values["loss"], abs=1e-5)
    assert log["vaccine/loss_perturbed"] == pytest.approx(values["worse"], abs=1e-5)
    assert values["worse"] > values["loss"]


def test_each_micro_batch_has_its_own_perturbation_and_none_is_lost(tmp_path):
    rows = encoded()[:4]
    options = {"max_steps": 1, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    trainer = trainer_of(tmp_path, [Vaccine(rho=0.7)], rows=rows, **options, **SGD)
    seen, own = [], trainer.training_step

    def watching(model, inputs, *args):
        seen.append({k: v.clone() for k, v in inputs.items()})
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    assert len(seen) == 2
    tokens = [int((batch["labels"][:, 1:] != -100).sum()) for batch in seen]
    grads = [by_hand(tiny_model(), batch, 0.7)[1] for batch in seen]
    start, (one, two) = weights_of(tiny_model()), [t / sum(tokens) for t in tokens]
    expected = {n: w - 0.1 * (one * grads[0][n] + two * grads[1][n]) for n, w in start.items()}
    assert farthest(weights_of(trainer.model), expected) < 1e-6
    whole = trained(tmp_path, [Vaccine(rho=0.7)], rows=rows, max_steps=1, **SGD)
    assert farthest(weights_of(whole.model), expected) > 1e-5


def test_every_perturbation_of_a_run_has_the_length_rho(tmp_path, monkeypatch):
    lengths, own = [], home.moved_outputs

    def watching(modules, by):
        assert set(by) == {"0", "1"}
        lengths.append(global_norm(by))
        return own(modules, by)

    monkeypatch.setattr(home, "moved_outputs", watching)
    trained(
        tmp_path, [Vaccine(rho=0.3)], per_device_train_batch_size=2, gradient_accumulation_steps=2
    )
    assert lengths == pytest.approx([0.3] * 8, rel=1e-5)


def test_two_passes_per_micro_batch_over_the_same_rows(tmp_path):
    trainer = trainer_of(tmp_path, [Vaccine()], per_device_train_batch_size=2)
    passes = []
    trainer.model.register_forward_pre_hook(
        lambda _m, _a, given: passes.append(given["input_ids"]), with_kwargs=True
    )
    trainer.train()
    assert len(passes) == 8
    assert all(torch.equal(passes[n], passes[n + 1]) for n in range(0, 8, 2))


def plain_and(folder, rho, **options):
    def start():
        return lora(tiny_model(), lora_dropout=0.3)

    plain = trained(folder, model=start(), **options)
    return plain, trained(folder, [Vaccine(rho=rho)], model=start(), **options)


def test_rho_zero_runs_no_pass_and_is_plain_bit_for_bit(tmp_path):
    plain, found = plain_and(tmp_path, 0.0)
    assert farthest(weights_of(plain.model), weights_of(found.model)) == 0
    assert ("vaccine", "gradient") not in found.trace.counts


def test_the_first_pass_leaves_no_gradient_and_draws_no_random_number(tmp_path):
    """With dropout and accumulation, a ρ that rounds away leaves the plain run bit for bit."""
    options = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3}
    plain, found = plain_and(tmp_path, NOTHING, **options)
    assert farthest(weights_of(plain.model), weights_of(found.model)) == 0
    # Eight rows are steps of 3, 3 and 2 micro-batches; the fourth step has 3 again.
    assert found.trace.counts["vaccine", "gradient"].calls == 11


def hooks_of(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_hooks_are_gone_after_an_error_in_either_pass(tmp_path, number):
    class Breaks(SecureTrainer):
        passes = 0

        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            self.passes += 1
            if self.passes > number:
                raise ZeroDivisionError
            return loss

    trainer = trainer_of(tmp_path, [Vaccine()], kind=Breaks)
    before = hooks_of(trainer.model)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert hooks_of(trainer.model) == before


def test_an_attention_below_the_first_trained_tensor_is_recorded_too():
    model = tiny_model().train()
    for name, p in model.named_parameters():
        p.requires_grad_("layers.1.mlp" in name)
    batch = batch_of(HARMFUL[:3])
    wanted, _, _ = by_hand(tiny_model(), batch, 1.0)
    with recorded_gradients(modules_of(model)) as found:
        model(**batch).loss.backward()
    assert all(torch.allclose(found[str(n)], g, atol=1e-7) for n, g in enumerate(wanted))


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputed_activations_change_nothing(tmp_path, reentrant):
    # The embeddings are trained here, so that a reentrant checkpoint has a graph to recompute.
    options = {
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": reentrant},
    }
    found = trained(tmp_path, [Vaccine(rho=0.7)], **options, **SGD)
    wanted = trained(tmp_path, [Vaccine(rho=0.7)], **SGD)
    assert farthest(weights_of(found.model), weights_of(wanted.model)) < 1e-6


def test_the_passes_of_another_defense_are_not_perturbed(tmp_path):
    """Booster's harmful passes see the model as it is, so the order of the two is no matter."""

    def pair():
        return [Vaccine(rho=0.7), Booster(harmful=HARMFUL, lam=0.4, alpha=0.3, batch_size=3)]

    inside = weights_of(trained(tmp_path, pair(), **SGD).model)
    outside = weights_of(trained(tmp_path, pair()[::-1], **SGD).model)
    alone = weights_of(trained(tmp_path, pair()[:1], **SGD).model)
    assert farthest(inside, outside) < 1e-6
    assert farthest(inside, alone) > 1e-4


def test_passes_over_other_rows_are_refused():
    model = tiny_model().train()
    eps = {"0": torch.zeros(1, 2, HIDDEN)}
    with (
        pytest.raises(RunError, match="both passes must see the same rows"),
        moved_outputs(modules_of(model), eps),
    ):
        model(**batch_of(HARMFUL[:2]))
    assert hooks_of(model) == 0


@pytest.mark.parametrize("rho", [-1.0, float("nan"), float("inf"), True])
def test_bad_options_are_refused_by_name(rho):
    with pytest.raises(ConfigError, match="vaccine: rho"):
        Vaccine(rho=rho).validate()
