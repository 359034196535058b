"""Hooks that no registered defense uses yet, with test-only defenses."""

import pytest

from tests.contract import checks, hook_checks
from tests.contract.probes import KeptWeights, PromptsHidden, RoleRates, SameLossAgain
from tests.contract.runs import EVERY_SETTING, FULL, SFT_FULL, SFT_LORA, TWO_SETTINGS

PROBES = {
    "learning_rate": lambda: RoleRates(ratio=0.3, until=0.75),
    "loss": SameLossAgain,
    "batch": PromptsHidden,
    "after_update": KeptWeights,
}
every_probe = pytest.mark.parametrize("make", PROBES.values(), ids=PROBES.keys())
two_settings = pytest.mark.parametrize("setting", TWO_SETTINGS, ids=str)


@two_settings
@pytest.mark.parametrize(
    "check",
    [
        hook_checks.check_rate_one_is_plain,
        hook_checks.check_rate_zero_keeps_weights,
        hook_checks.check_rate_of_progress,
        hook_checks.check_groups_keep_decay,
        hook_checks.check_batch_hook,
        hook_checks.check_after_update_hook,
    ],
    ids=lambda c: c.__name__,
)
def test_hook(check, setting):
    check(setting)


@pytest.mark.parametrize("setting", EVERY_SETTING, ids=str)
def test_loss_hook_under_accumulation(setting):
    hook_checks.check_loss_hook(setting)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant_with_warmup"])
@two_settings
def test_every_groups_rate_is_logged(setting, schedule):
    hook_checks.check_rates_logged(setting, schedule)


@pytest.mark.parametrize("setting", [FULL, SFT_FULL, SFT_LORA], ids=str)
@every_probe
def test_accumulation_equals_one_batch(make, setting):
    checks.check_accumulation(make, setting)


@two_settings
@every_probe
def test_resume_equals_uninterrupted(make, setting):
    checks.check_resume(make, setting)


@two_settings
@every_probe
def test_trace_and_leftovers(make, setting):
    checks.check_trace(make, setting)
    checks.check_leaves_nothing(make, setting)


@every_probe
def test_leaves_nothing_after_errors(make):
    checks.check_leaves_nothing_after_errors(make, FULL)
