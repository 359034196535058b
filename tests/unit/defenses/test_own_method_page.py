"""What ``docs/own_method.md`` shows works as it stands there."""

import pytest
import yaml

import holdfast
from holdfast.inputs.specs import Spec, build_defenses
from tests.contract import card_checks
from tests.unit.defenses.own_package import block
from tests.unit.defenses.tiny_runs import farthest, trained, weights_of


def test_the_recipe_of_the_page_can_be_built(install):
    install()
    given = yaml.safe_load(block("yaml"))["defenses"]
    entries = [[one] if isinstance(one, str) else one for one in given]
    for specs in (one for one in entries if one[0] not in ("before", "none")):
        data = {"safe": [{"prompt": "a", "completion": "b"}]}
        build_defenses([Spec.parse(text) for text in specs], data)


@pytest.mark.parametrize(
    "check", [card_checks.check_card, card_checks.check_fields, card_checks.check_constructor]
)
def test_the_class_of_the_page_passes_the_checks_of_cards(install, check):
    install()
    check(holdfast.find("my_method"))


def test_the_class_of_the_page_does_what_it_says(install, tmp_path):
    """w - strength * (w - start), so half of the way stands between plain and none of it."""
    install()
    method = holdfast.find("my_method")(strength=0.5)
    plain = weights_of(trained(tmp_path / "plain").model)
    half = weights_of(trained(tmp_path / "half", [method]).model)
    start = method.start_
    wanted = {name: plain[name] - 0.5 * (plain[name] - start[name]) for name in plain}
    assert farthest(half, wanted) < 1e-6
    assert farthest(plain, start) > 1e-3
