"""Variants, shares and reports of every registered defense, and faults that the checks catch."""

from typing import Any, ClassVar

import pytest

from holdfast import MLLR, SWAT
from holdfast.organism.scenarios import defender_pairs, harmless_prompts
from holdfast.testing import sharing as checks
from tests.contract import planted_sharing as planted
from tests.contract.probes import card
from tests.contract.recipes import data_rows, recipes
from tests.contract.runs import FULL, SFT_LORA
from tests.contract.settings import robust_file

every_recipe = pytest.mark.parametrize("make", recipes(), ids=lambda r: r.label)


@every_recipe
def test_variant(make):
    checks.check_variant(make)


@every_recipe
def test_shared(make):
    checks.check_shared(make)


@every_recipe
def test_report(make):
    checks.check_report(make, SFT_LORA)


def by_modules(cls):
    """Return what builds ML-LR or SWAT so that it has to find Mods_Rob itself."""
    rows = {"harmful": defender_pairs(40), "benign": harmless_prompts(40)}
    return lambda **options: cls(**{**rows, "tau": 0.5} | options)


@pytest.mark.parametrize("cls", [MLLR, SWAT])
def test_mods_rob_is_shared_by_what_finds_it_by_default(cls):
    make = by_modules(cls)
    assert make().shared().kind == "robust_modules"
    assert make(method="noise").shared() is None
    assert make(modules=robust_file()).shared() is None
    checks.check_shared(make)


def test_ml_lr_and_swat_share_one_mods_rob():
    left, right = by_modules(MLLR)().shared(), by_modules(SWAT)().shared()
    assert (left.kind, left.made_of, left.data) == (right.kind, right.made_of, right.data)


def learning(cls):
    return lambda **options: cls(**{"rows": data_rows()} | options)


def test_the_base_of_the_broken_ones_keeps_the_contract():
    make = learning(planted.Learns)
    checks.check_variant(make)
    checks.check_shared(make)
    checks.check_report(planted.Reports, FULL)


class Control(planted.WinsAsControl):
    card: ClassVar[Any] = card("wins_as_control")


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (planted.SpacesInLabel, "cannot stand"),
        (planted.ParensInLabel, "cannot stand"),
        (planted.WinsAtZero, "no control"),
        (planted.NoVariant, "returns 'random'"),
        (Control, "card says control"),
    ],
)
def test_a_wrong_variant_is_caught(cls, said):
    with pytest.raises(AssertionError, match=said):
        checks.check_variant(cls)


def test_a_control_by_its_data_is_caught():
    with pytest.raises(AssertionError, match="without the data"):
        checks.check_variant(learning(planted.ControlByData))


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (planted.ForgetsPull, "another pull"),
        (planted.ForgetsRows, "another rows"),
        (planted.NoJson, "no JSON"),
        (planted.StrangeRows, "no data sets"),
        (planted.SpacedKind, "no name"),
        (planted.SharesAtZero, "strength off"),
        (planted.LearnsAgain, "learned again"),
        (planted.TakesStronger, "tensors of the run differ"),
        (planted.WritesRounded, "tensors of the run differ"),
        (planted.WritesNothing, "writes nothing"),
        (planted.DrawsGlobally, "global random state"),
        (planted.HangsOnTheState, "learned once more"),
        (planted.SeedForgotten, "another seed"),
        (planted.MovesTheModel, "model's weights"),
    ],
)
def test_a_wrong_share_is_caught(cls, said):
    with pytest.raises(AssertionError, match=said):
        checks.check_shared(learning(cls))


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (planted.ReportsTensor, "no JSON and no block"),
        (planted.ReportsHiddenBlock, "no JSON and no block"),
        (planted.Untitled, "no title"),
        (planted.TitledTwice, "one title"),
    ],
)
def test_a_wrong_report_is_caught(cls, said):
    with pytest.raises(AssertionError, match=said):
        checks.check_report(cls, FULL)


def test_a_block_that_the_page_leaves_out_is_caught(monkeypatch):
    monkeypatch.setattr(checks, "render", lambda _: "")
    with pytest.raises(AssertionError, match="does not show"):
        checks.check_report(planted.Reports, FULL)
