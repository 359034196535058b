"""Noise of exact norm that depends on seed and module alone; the model comes back bit for bit."""

import random

import numpy as np
import pytest
import torch

from holdfast.analysis.modules import first_order as gradient
from holdfast.analysis.modules.first_order import squared_gradients
from holdfast.analysis.modules.perturbation import Damage, delta, noise, noise_unit, pooled
from holdfast.analysis.pipeline import AnalysisSettings, analyze
from holdfast.analysis.probing.probe import Probe
from holdfast.errors import InputError, ModelError, RunError
from holdfast.ops.modules import projections
from tests.tiny import tiny_model
from tests.unit.analysis.tiny_analysis import (
    adapted,
    everything_of,
    probed,
    prompts,
    refs_of,
    same,
)

FIELDS = ("drift", "logit", "mean_logit", "accuracy", "balanced_accuracy")


def zeros_but(found, name, value):
    return {
        r.name: torch.full_like(m.weight, value if r.name == name else 0.0)
        for r, m in found.modules.items()
    }


def rng_state():
    numpy = np.random.get_state()  # noqa: NPY002
    return random.getstate(), [str(part) for part in numpy], torch.get_rng_state().tolist()


class TestNoise:
    @pytest.mark.parametrize("rho", [0.01, 0.3, 2.0])
    def test_its_norm_is_rho_times_the_weights(self, rho):
        modules = projections(tiny_model())
        change = noise(modules, rho)
        for ref, module in modules.items():
            ratio = float(change(ref, 1).norm() / module.weight.detach().norm())
            assert ratio == pytest.approx(rho, rel=1e-5)

    def test_it_depends_on_seed_and_module_alone(self):
        plain = projections(tiny_model())
        under = projections(adapted(tiny_model()))
        refs = list(plain)
        first = {r: noise(plain, 0.1)(r, 7) for r in refs}
        torch.manual_seed(123)
        second = {r: noise(under, 0.1)(r, 7) for r in reversed(refs)}
        assert all(torch.equal(first[r], second[r]) for r in refs)
        units = [noise_unit(r, torch.empty(32, 32), s) for r in refs[:2] for s in (0, 1)]
        assert len({float(u[0, 0]) for u in units}) == 4

    @pytest.mark.parametrize("rho", [0.0, -1.0, float("nan"), float("inf")])
    def test_no_other_rho(self, rho):
        with pytest.raises(InputError, match="rho"):
            noise({}, rho)


class TestDamage:
    def test_no_change_is_no_damage(self):
        found = probed()
        none = found.damage(delta(zeros_but(found, "", 0.0)), list(found.modules), 0)
        figures = [getattr(none, f) for f in FIELDS]
        assert figures == pytest.approx([0] * 5, abs=1e-6)
        assert none.logit == 0

    def test_its_figures_by_hand(self):
        found = probed()
        count = found.harmful
        states = found.suffix.clean.clone()
        states[:count] *= -1  # Features of harmful prompts are turned around, up to the mean.
        probe = Probe(
            weight=torch.ones(states.shape[1]), bias=0.0, mean=torch.zeros(states.shape[1]),
            scale=torch.ones(states.shape[1]), quality={},
        )  # fmt: skip
        turned = type(found)(found.suffix, probe, count, found.modules).damage_of(states)
        old = found.suffix.clean[:count].sum(1)
        assert turned.drift == pytest.approx(2.0, abs=1e-5)
        assert turned.logit == pytest.approx(float((4 * old**2).mean() ** 0.5), rel=1e-5)
        assert turned.mean_logit == pytest.approx(float(-2 * old.mean()), rel=1e-4)
        drop = float((old > 0).float().mean() - (old < 0).float().mean())
        assert turned.accuracy == pytest.approx(drop, abs=1e-6)
        assert turned.balanced_accuracy == pytest.approx(drop / 2, abs=1e-6)

    def test_draws_are_pooled_as_they_are_defined(self):
        draws = [Damage(**dict.fromkeys(FIELDS, value)) for value in (3.0, 4.0)]
        assert pooled(draws, "logit") == pytest.approx(12.5**0.5)
        assert pooled(draws, "drift") == 3.5

    @pytest.mark.parametrize("adapter", [False, True])
    def test_one_change_moves_what_it_should(self, adapter):
        found = probed(adapter=adapter)
        (ref,) = refs_of(found, (1, "o"))
        moved = found.damage(delta(zeros_but(found, ref.name, 0.3)), [ref], 0)
        assert moved.logit > 0
        assert found.damage(delta(zeros_but(found, ref.name, 0.3)), [], 0).logit == 0

    def test_a_change_that_is_missing_or_of_another_shape(self):
        found = probed()
        (ref,) = refs_of(found, (0, "gate"))
        with pytest.raises(InputError, match=ref.name):
            found.damage(delta({}), [ref], 0)
        with pytest.raises(InputError, match="shape"):
            found.damage(delta({ref.name: torch.ones(1, 32)}), [ref], 0)

    def test_states_that_are_not_finite(self):
        found = probed()
        before = everything_of(found.suffix.model)
        (ref,) = refs_of(found, (1, "down"))
        with pytest.raises(RunError, match="smaller rho"):
            found.damage(delta(zeros_but(found, ref.name, float("inf"))), [ref], 0)
        assert same(before, everything_of(found.suffix.model))

    def test_quantized_weights_are_refused_by_name(self):
        model = tiny_model()
        bad = model.model.layers[1].mlp.up_proj
        bad.weight = torch.nn.Parameter(bad.weight.data.to(torch.int8), requires_grad=False)
        with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj.*int8"):
            analyze(model, prompts())


class TestTheModelComesBack:
    @pytest.fixture(params=["full", "lora", "bf16"])
    def model(self, request):
        model = tiny_model("gemma2")
        model = adapted(model) if request.param == "lora" else model
        model = model.to(torch.bfloat16 if request.param == "bf16" else torch.float32)
        for n, p in enumerate(model.parameters()):
            p.requires_grad_(n % 3 > 0)
            p.grad = torch.ones_like(p) if n % 2 else None
        model.train()
        next(iter(model.modules())).eval()
        return model

    @pytest.mark.parametrize("method", ["gradient", "noise"])
    def test_after_an_analysis(self, model, method):
        before, drawn = everything_of(model), rng_state()
        analyze(model, prompts(), AnalysisSettings(method=method, rho=0.3, seeds=1))
        assert same(before, everything_of(model))
        assert rng_state() == drawn
        assert all(p.grad is None or bool((p.grad == 1).all()) for p in model.parameters())

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    @pytest.mark.parametrize("step", [4, 7, 11, 40])
    def test_after_an_error_in_any_pass(self, model, error, step):
        """The step-th time that the last layer's MLP runs, it raises: probe, modules or search."""
        before, calls = everything_of(model), []

        def raising(*_):
            calls.append(1)
            if len(calls) == step:
                raise error

        layer = next(m for n, m in model.named_modules() if n.endswith("layers.1.mlp"))
        handle = layer.register_forward_hook(raising)
        with pytest.raises(error):
            analyze(model, prompts(), AnalysisSettings(method="noise", rho=0.3, batch_size=64))
        handle.remove()
        assert len(calls) == step
        assert same(before, everything_of(model))

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_after_an_error_in_the_gradient(self, model, error, monkeypatch):
        found = probed()
        model = found.suffix.model.train()
        before = everything_of(model)

        def raising(*_):
            raise error

        monkeypatch.setattr(gradient, "at_last", raising)
        with pytest.raises(error):
            squared_gradients(found)
        assert same(before, everything_of(model))
