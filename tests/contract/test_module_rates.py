"""ml_lr and swat hold what the specification asks, and each check catches its fault."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from holdfast import MLLR, SWAT, SecurityVectors
from holdfast.defenses import frozen, module_rates
from holdfast.defenses.frozen import trained_sizes
from holdfast.errors import ConflictError
from holdfast.ops.modules import trainable
from holdfast.training import compat, trainer
from tests.contract import checks, rate_checks
from tests.contract.recipes import data_rows
from tests.contract.runs import (
    EVERY_SETTING,
    FULL,
    LORA,
    SFT_FULL,
    SFT_LORA,
    TWO_SETTINGS,
    differing,
    gap,
    new_trainer,
    trained,
)
from tests.contract.settings import CONTRACT_SETTINGS, robust_file

FILE = robust_file()
every_setting = pytest.mark.parametrize("setting", EVERY_SETTING, ids=str)
two_settings = pytest.mark.parametrize("setting", TWO_SETTINGS, ids=str)
both_moments = pytest.mark.parametrize("moments", ["kept", "fresh"])


def swat(moments: Any = "kept", **options: Any):
    return lambda: SWAT(**{"modules": FILE, "warmup": 0.75, "moments": moments} | options)


def ml_lr(ratio: float = 0.01, **options: Any):
    return lambda: MLLR(modules=FILE, ratio=ratio, **options)


@dataclass
class Drops(SWAT):
    """The rest's gradients are computed in the warm-up and dropped before clipping."""

    zeroed: bool = False

    def gradient(self, step, backward):
        loss = backward()
        for name, p in trainable(step.model).items():
            if self.rate(False, step.number / step.total) == 0 and not rate_checks.is_robust(name):
                p.grad = torch.zeros_like(p) if self.zeroed else None
        return loss

    def idle(self):
        return frozenset()


def drops(**options: Any):
    return lambda: Drops(modules=FILE, warmup=0.75, **options)


@every_setting
@both_moments
def test_only_robust_modules_move_in_the_warmup(moments, setting):
    rate_checks.check_warmup(swat(moments), setting)


@every_setting
@both_moments
def test_the_warmup_is_a_share_of_the_steps_that_epochs_make(moments, setting):
    epochs = {"max_steps": -1, "num_train_epochs": 2}  # Of three steps each.
    rate_checks.check_warmup(swat(moments, warmup=0.3), setting, held=2, **epochs)


@every_setting
def test_ratio_zero_is_freezing(setting):
    rate_checks.check_ratio_zero(ml_lr(0.0), setting)


@every_setting
def test_freezing_is_computing_gradients_and_dropping_them(setting):
    rate_checks.check_same_as(swat("fresh"), drops(), setting)


@every_setting
@pytest.mark.parametrize("make", [ml_lr(1.0), swat(warmup=0.0), swat("fresh", warmup=0.0)])
def test_off_is_plain(make, setting):
    rate_checks.check_off_with_decay(make, setting)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
@pytest.mark.parametrize("make", [ml_lr(), swat(), swat("fresh")])
@two_settings
def test_the_schedules_shape_is_kept_in_every_group(make, setting, schedule):
    rate_checks.check_rates(make, setting, schedule)


@pytest.mark.parametrize("make", [ml_lr(), swat(), swat("fresh")])
@every_setting
def test_weight_decay_groups_are_kept(make, setting):
    rate_checks.check_decay_kept(make, setting)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("setting", [FULL, SFT_LORA], ids=str)
@both_moments
def test_recomputed_activations_change_nothing(moments, setting, reentrant):
    rate_checks.check_recomputed(swat(moments), setting, reentrant=reentrant)


@both_moments
def test_resume_at_each_side_of_the_switch(moments):
    for warmup in (0.5, 0.75):  # The checkpoint is of step 2: at the switch, and before it.
        checks.check_resume(swat(moments, warmup=warmup), FULL)


@both_moments
@pytest.mark.parametrize("attach", ["merged", "hooks"])
@pytest.mark.parametrize("setting", [SFT_FULL, SFT_LORA], ids=str)
def test_a_vector_taken_off_in_mid_warmup_comes_back(setting, attach, moments):
    def pair():
        options = CONTRACT_SETTINGS["security_vectors"][attach]
        return [SecurityVectors(data_rows(), data_rows(), **options), swat(moments)()]

    for order in (1, -1):
        plain = trained(pair()[::order], setting).weights
        saved = trained(pair()[::order], setting, save_strategy="steps", save_steps=1).weights
        assert gap(plain, saved) <= checks.TOLERANCE


def test_moments_matter():
    kept, fresh = (trained([swat(m)()], FULL).weights for m in ("kept", "fresh"))
    assert differing(kept, fresh)


@pytest.mark.slow
def test_a_compiled_model_learns_the_same():
    options = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
    try:
        apart = gap(
            trained([swat("fresh")()], FULL, **options).weights,
            trained([swat("fresh")()], FULL).weights,
        )
    finally:
        torch.compiler.reset()
    assert apart <= 1e-5


def test_the_rest_has_no_gradient_and_no_state_while_it_is_frozen():
    run = trained([ml_lr(0.0)()], LORA).trainer
    robust = {p for n, p in trainable(run.model).items() if rate_checks.is_robust(n)}
    assert set(run.optimizer.state) == robust
    assert set(trained_sizes(run.model)) == {
        (layer, role) for layer in (0, 1) for role in ("q", "v", "down")
    }


class TestDistributed:
    @pytest.fixture(autouse=True)
    def _several_processes(self, monkeypatch):
        monkeypatch.setattr(compat, "is_distributed", lambda _: "XLA")

    def test_rates_are_allowed(self):
        new_trainer([swat("kept")()])
        new_trainer([ml_lr()()])

    @pytest.mark.parametrize("make", [swat("fresh"), ml_lr(0.0)])
    def test_freezing_is_refused_with_a_way_out(self, make):
        with pytest.raises(ConflictError, match=r"frozen.*XLA.*moments=kept holds"):
            new_trainer([make()])

    def test_the_analysis_is_refused_with_a_way_out(self):
        with pytest.raises(ConflictError, match=r"extra backward.*XLA.*modules=FILE"):
            new_trainer([SWAT(harmful=data_rows(), benign=data_rows())])


class TestPlantedFaults:
    """Each check fails on the fault it is there for."""

    @both_moments
    @pytest.mark.parametrize("leak", [1e-3, 1.0])
    def test_a_rate_that_leaks(self, monkeypatch, moments, leak):
        kept = SWAT.rate
        monkeypatch.setattr(SWAT, "rate", lambda self, r, p: kept(self, r, p) or leak)
        with pytest.raises(AssertionError, match="warm-up"):
            rate_checks.check_warmup(swat(moments), FULL)

    def test_a_rest_that_never_learns(self):
        with pytest.raises(AssertionError, match="still held"):
            rate_checks.check_warmup(swat(warmup=1.0), FULL)
        with pytest.raises(AssertionError, match="still held"):
            rate_checks.check_warmup(swat(warmup=0.5), FULL, held=2, max_steps=6)

    def test_exchanged_groups(self, monkeypatch):
        kept = SWAT.rate
        monkeypatch.setattr(SWAT, "rate", lambda self, r, p: kept(self, not r, p))
        with pytest.raises(AssertionError, match="Mods_Rob has not moved"):
            rate_checks.check_warmup(swat(), FULL)

    def test_gradients_of_the_rest_in_the_clipping_norm(self):
        with pytest.raises(AssertionError, match="by hand"):
            rate_checks.check_ratio_zero(ml_lr(0.0, moments="kept"), FULL)

    def test_gradients_of_zero_instead_of_none(self):
        with pytest.raises(AssertionError, match="differs"):
            rate_checks.check_same_as(swat("fresh"), drops(zeroed=True), FULL)

    def test_off_that_acts(self):
        with pytest.raises(AssertionError):
            rate_checks.check_off_with_decay(ml_lr(0.999), FULL)

    def test_a_lost_shape(self, monkeypatch):
        def scheduler(base, multipliers):
            made = trainer_scheduler(base, multipliers)
            made.lr_lambdas = [lambda _, m=m: m[0] for m in multipliers]
            return made

        trainer_scheduler = trainer.scheduler_with
        monkeypatch.setattr(trainer, "scheduler_with", scheduler)
        with pytest.raises(AssertionError, match="rates"):
            rate_checks.check_rates(swat(), FULL, "cosine")

    def test_lost_decay(self, monkeypatch):
        def split(optimizer, model, schedule):
            made = trainer_split(optimizer, model, schedule)
            optimizer.param_groups[0]["weight_decay"] = 0.0
            return made

        trainer_split = trainer.split_groups
        monkeypatch.setattr(trainer, "split_groups", split)
        with pytest.raises(AssertionError, match="decay"):
            rate_checks.check_decay_kept(ml_lr(), FULL)

    def test_a_checkpoint_without_the_list(self, monkeypatch):
        monkeypatch.setattr(SWAT, "state", lambda self: {})
        for moments in ("kept", "fresh"):
            with pytest.raises(Exception, match=r"resuming|parameter group|artifacts|robust"):
                checks.check_resume(swat(moments), FULL)

    def test_flags_that_stay_after_an_error(self, monkeypatch):
        @contextmanager
        def leaky(model, learning):
            for name, p in trainable(model).items():
                p.requires_grad_(rate_checks.is_robust(name))
            yield
            for p in model.parameters():
                p.requires_grad_(True)

        monkeypatch.setattr(module_rates, "frozen_but", leaky)
        with pytest.raises(AssertionError, match="after an error"):
            checks.check_leaves_nothing_after_errors(swat("fresh"), FULL)

    def test_flags_that_trained_what_was_frozen(self, monkeypatch):
        @contextmanager
        def thaws(model, learning):
            with frozen.frozen_but(model, learning):
                yield
            for p in model.parameters():
                p.requires_grad_(True)

        monkeypatch.setattr(module_rates, "frozen_but", thaws)
        with pytest.raises(AssertionError):
            checks.check_leaves_nothing(swat("fresh"), LORA)
