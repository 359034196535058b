"""What DeepSpeed cannot do exactly is missing, with the reason and a way out."""

import pytest

from holdfast import Panacea, SecurityVectors
from holdfast.errors import ConflictError
from holdfast.ops.engines.capabilities import Capability
from holdfast.ops.engines.deepspeed import deepspeed_limits
from holdfast.training.compose import refuse_missing
from tests.contract.recipes import recipes
from tests.unit.defenses.tiny_runs import HARMFUL

ROWS = {Capability.EDITS_DATA, Capability.ROWS, Capability.NLL}


def missing(stage, **config):
    return deepspeed_limits({"zero_optimization": {"stage": stage}, **config})


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_rows_alone_are_left(stage):
    assert set(Capability) - missing(stage).keys() == ROWS


@pytest.mark.parametrize("part", ["optimizer", "scheduler"])
def test_a_configuration_that_drops_groups_is_named(part):
    found = missing(2, **{part: {"type": "AdamW"}})
    assert f"names its own {part}" in found[Capability.LEARNING_RATES]


def test_a_configuration_without_zero_is_read():
    assert deepspeed_limits({}) == missing(0)


@pytest.mark.parametrize("defense", [Panacea, SecurityVectors])
def test_a_defense_is_refused_with_the_reason_and_what_to_do(defense):
    with pytest.raises(ConflictError, match=r"DeepSpeed .*fsdp_version: 2"):
        refuse_missing([defense(harmful=HARMFUL)], missing(2))


def test_methods_that_act_in_a_run_need_more_than_deepspeed_gives():
    left = {make.cls.card.name for make in recipes() if not make().needs() & missing(2).keys()}
    assert left == {"safe_mixing"}
