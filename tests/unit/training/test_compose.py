"""Rules for a list of defenses."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from holdfast import Panacea
from holdfast.defense import Capability
from holdfast.errors import ConfigError, ConflictError
from holdfast.training.compose import composed, low_precision, refuse_missing
from tests.contract.probes import KeptWeights, Planted, RoleRates, card
from tests.tiny import tiny_model


@dataclass
class Clashes(Planted):
    card: ClassVar[Any] = card("clashes", conflicts={"planted": "both pull"})


@dataclass
class Edits(Planted):
    card: ClassVar[Any] = card("edits", needs=frozenset({Capability.EDITS_WEIGHTS}))


def test_order_is_kept():
    given = [RoleRates(), Planted(), KeptWeights()]
    assert composed(given) == tuple(given)
    assert composed([]) == ()


def test_every_defense_is_validated():
    class Bad(Planted):
        def validate(self):
            raise ConfigError("bad")

    with pytest.raises(ConfigError, match="bad"):
        composed([RoleRates(), Bad()])


def test_none_is_given_twice():
    with pytest.raises(ConflictError, match="planted is given twice"):
        composed([Planted(), RoleRates(), Planted()])


@pytest.mark.parametrize("pair", [[Clashes(), Planted()], [Planted(), Clashes()]])
def test_a_conflict_holds_in_both_orders(pair):
    with pytest.raises(ConflictError, match=r"exclude each other: both pull"):
        composed(pair)


def test_a_missing_capability_is_named_with_its_reason():
    missing = {Capability.EDITS_WEIGHTS: "the weights are sealed"}
    with pytest.raises(ConflictError, match=r"edits needs edits of the weights: the weights are"):
        refuse_missing([Planted(), Edits()], missing)
    refuse_missing([Planted()], missing)
    refuse_missing([Edits()], {})


def test_only_trainable_tensors_must_be_float32():
    model = tiny_model()
    assert low_precision(model) == {}
    model.to(torch.bfloat16)
    assert "bfloat16" in low_precision(model)[Capability.EDITS_WEIGHTS]
    model.requires_grad_(False)
    assert low_precision(model) == {}


@pytest.mark.parametrize("given", [
    None, "panacea", ["panacea"], [Panacea], Panacea(), [Panacea(rho=0.0), None], {"panacea": 1},
    (each for each in [Panacea(rho=0.0)]),
], ids=["none", "name", "names", "class", "one", "hole", "mapping", "stream"])  # fmt: skip
def test_what_is_no_list_of_defenses_is_one_line(given):
    """A name or a class was an AttributeError from deep within; a stream was no defense at all."""
    with pytest.raises(ConfigError, match=r"list of defenses that were made.*holdfast\.find"):
        composed(given)


@pytest.mark.parametrize("wrap", [list, lambda rows: [rows], lambda rows: Panacea(harmful=rows)])
def test_what_stands_for_a_defense_is_named_and_its_rows_are_not_quoted(wrap):
    """Rows in the defenses' place, or a list in the list, stood in the error with their text."""
    rows = [{"prompt": [{"content": "zorba"}], "completion": [{"content": "zorba"}]}]
    with pytest.raises(ConfigError, match=r"got a (dict|list|Panacea)") as error:
        composed(wrap(rows))
    assert "zorba" not in str(error.value)
