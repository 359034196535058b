"""The suite of defenses passes the page's method, and says which clause a broken one breaks."""

import re
from dataclasses import dataclass

import pytest

import holdfast
from holdfast.errors import ConfigError
from holdfast.testing import check_defense
from holdfast.testing.defenses import CLAUSES
from tests.contract import planted
from tests.contract.probes import Planted, card

pytestmark = pytest.mark.thorough

ALL = {clause.__name__ for clause in CLAUSES}


def but(*names):
    """Every clause but these, to skip."""
    return ALL - {f"check_{name}" for name in names}


@pytest.mark.slow
def test_the_method_of_the_page_passes(install):
    install()
    check_defense(holdfast.find("my_method"), strength=0.5)


FAULTS = [
    (planted.ActsAtZero, "strength_zero"),
    (planted.Idle, "acts"),
    (planted.ZeroesGradients, "accumulation"),
    (planted.SeedUnused, "seeds"),
    (planted.Reseeds, "seeds"),
    (planted.Forgets, "resume"),
    (planted.LeavesAttribute, "leaves_nothing"),
    (planted.RestoresBySubtraction, "leaves_nothing"),
    (planted.LeavesHookOnErrors, "leaves_nothing_after_errors"),
]


@pytest.mark.parametrize(("cls", "clause"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_a_fault_is_named_with_its_clause(cls, clause):
    with pytest.raises(AssertionError, match=rf"^planted, check_{clause}, "):
        check_defense(cls, skip=but(clause))


def test_the_base_of_the_broken_ones_passes_where_they_fail():
    check_defense(Planted, skip=but("strength_zero", "acts"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"summary": "No dot"}, "summary 'No dot' is no sentence"),
        ({"strength": "force"}, "strength 'force' is no field"),
        ({"data": ("rows",)}, "are no fields"),
        ({"conflicts": {"nobody": "why"}}, "conflicts with unknown"),
        ({"name": "Bad Name"}, "is no name"),
    ],
)
def test_a_broken_card_is_named(change, said):
    broken = Planted.card.__class__(**{**vars(card("planted")), **change})
    cls = dataclass(type("Broken", (Planted,), {"card": broken, "__annotations__": {}}))
    with pytest.raises(AssertionError, match=re.escape(said)):
        check_defense(cls)


def test_what_is_no_defense_or_cannot_be_built():
    with pytest.raises(AssertionError, match=r"no subclass of holdfast.Defense"):
        check_defense(dict)
    with pytest.raises(ConfigError, match=r"random_perturbation: rho=-1.0"):
        check_defense(holdfast.RandomPerturbation, rho=-1.0, skip=ALL)
