"""Every registered defense keeps the contract; a new one is tested without being asked."""

import pytest

from holdfast.errors import ConflictError
from holdfast.testing import stacks
from tests.contract import checks
from tests.contract.recipes import recipes
from tests.contract.runs import (
    EVERY_SETTING,
    FULL,
    LORA_ON_BF16,
    SFT_LORA,
    TWO_SETTINGS,
    gap,
    new_trainer,
    trained,
)
from tests.contract.settings import PER_MICRO_BATCH, WITHOUT_PAIRS

RECIPES = recipes()
every_recipe = pytest.mark.parametrize("make", RECIPES, ids=lambda r: r.label)
every_setting = pytest.mark.parametrize("setting", EVERY_SETTING, ids=str)
two_settings = pytest.mark.parametrize("setting", TWO_SETTINGS, ids=str)


@every_setting
def test_no_defense_is_plain(setting):
    checks.check_no_defense_is_plain(setting)


@every_setting
@every_recipe
def test_strength_zero_is_no_defense(make, setting):
    checks.check_strength_zero(make, setting)


@every_recipe
def test_acts(make):
    checks.check_acts(make, SFT_LORA)


@two_settings
@every_recipe
def test_every_hook_is_in_the_trace(make, setting):
    checks.check_trace(make, setting)


@two_settings
@every_recipe
def test_accumulation_equals_one_batch(make, setting):
    if make.label in PER_MICRO_BATCH:  # Exempt, and only as long as it has to be.
        with pytest.raises(AssertionError, match="accumulation moves"):
            checks.check_accumulation(make, setting)
        return
    checks.check_accumulation(make, setting)


@two_settings
@every_recipe
def test_seeds(make, setting):
    checks.check_seeds(make, setting)


@two_settings
@every_recipe
def test_resume_equals_uninterrupted(make, setting):
    checks.check_resume(make, setting)


@two_settings
@every_recipe
def test_checkpoint_holds_what_it_may(make, setting):
    checks.check_checkpoint(make, setting)


@pytest.mark.parametrize("setting", [*TWO_SETTINGS, LORA_ON_BF16], ids=str)
@every_recipe
def test_leaves_nothing(make, setting):
    checks.check_leaves_nothing(make, setting)


@pytest.mark.parametrize("setting", [FULL, LORA_ON_BF16], ids=str)
@every_recipe
def test_leaves_nothing_after_errors(make, setting):
    checks.check_leaves_nothing_after_errors(make, setting)


ONE_EACH = [r for n, r in enumerate(RECIPES) if r.cls not in {other.cls for other in RECIPES[:n]}]
every_defense = pytest.mark.parametrize("make", ONE_EACH, ids=lambda r: r.label)


@every_defense
def test_every_kind_of_adapter_is_served_or_refused(make):
    """Fault B9: DoRA, PiSSA and saved modules were taken for plain LoRA."""
    stacks.check_adapters(make)


@every_defense
def test_packed_and_padding_free_rows_are_served_or_refused(make):
    """Fault B7: beside packing a defense took packs for rows, or did nothing."""
    stacks.check_packing(make)


PAIRED = [recipe for recipe in RECIPES if recipe.label not in WITHOUT_PAIRS]
PAIRS = [(a, b) for a in PAIRED for b in PAIRED if a.cls is not b.cls]


@pytest.mark.parametrize(("left", "right"), PAIRS, ids=[f"{a.label}+{b.label}" for a, b in PAIRS])
def test_every_ordered_pair_trains_or_refuses(left, right):
    checks.check_pair(left, right, SFT_LORA)


@every_recipe
def test_no_defense_twice(make):
    with pytest.raises(ConflictError, match="twice"):
        new_trainer([make(), make()], SFT_LORA)


@every_recipe
def test_recomputed_activations_change_nothing(make):
    with_them = trained([make()], SFT_LORA, gradient_checkpointing=True)
    apart = gap(with_them.weights, trained([make()], SFT_LORA).weights)
    assert apart <= checks.TOLERANCE
