"""What ``docs/own_method.md`` shows works as it stands there."""

import json

import pytest
import yaml

import holdfast
from holdfast.bench.recipe.estimate import estimated_minutes
from holdfast.bench.recipe.files import base_recipe
from holdfast.bench.recipe.grid import expand
from holdfast.cli import main
from holdfast.inputs.specs import Spec, build_defenses
from holdfast.testing import sharing
from tests.contract import card_checks
from tests.contract.recipes import Recipe
from tests.contract.runs import FULL
from tests.own_package import BOTH, POINTS, block
from tests.unit.defenses.tiny_runs import farthest, trained, weights_of

POINTS_OF_BOTH = {**POINTS, "my_guard": "my_package:MyGuard"}
RECIPE = """
defenses: [none, "my_guard:strength=0.5", my_guard:strength=1, ["safe_mixing:share=0.5", my_guard]]
steps: [2]
rows: [16]
seeds: 1
items_per_kind: 2
defender_rows: 8
benign_rows: 8
validation_rows: 4
"""


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
def test_the_classes_of_the_page_pass_the_checks_of_cards(install, check):
    install(BOTH, POINTS_OF_BOTH)
    check(holdfast.find("my_method"))
    check(holdfast.find("my_guard"))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_second_class_keeps_what_it_says_beside_its_run(install, strength):
    install(BOTH, POINTS_OF_BOTH)
    make = Recipe(holdfast.find("my_guard"), "default", (("strength", strength),))
    sharing.check_variant(make)
    sharing.check_shared(make)
    sharing.check_report(make, FULL)


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


@pytest.mark.slow
def test_a_bench_shows_it_in_table_page_and_estimate_with_its_own_words(install, tmp_path, capfd):
    install(BOTH, POINTS_OF_BOTH)
    recipe, out = tmp_path / "mine.yaml", tmp_path / "out"
    recipe.write_text(RECIPE)
    assert main(["bench", str(recipe), "--out", str(out), "--dry-run"]) == 0
    assert "4 cells, about" in capfd.readouterr().err
    assert main(["bench", str(recipe), "--out", str(out), "--workers", "1", "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["rows"]
    names = ["none", "my_guard", "my_guard(start)", "safe_mixing+my_guard"]
    assert [row["defense"] for row in rows] == names
    arms = json.loads((out / "result.json").read_text())["arms"]
    assert [arm["control"] for arm in arms] == [False, False, True, False]
    (learned,) = out.glob("shared/refusal_loss-*/loss.json")
    assert json.loads(learned.read_text()) > 0
    page = (out / "report.html").read_text()
    assert "<h3>Refusals<" in page
    assert f"Their loss was {json.loads(learned.read_text()):.3f} before tuning" in page
    assert "my_guard (start)" in page or "my_guard(start)" in page


def test_the_estimate_counts_what_it_shares_once(install):
    install(BOTH, POINTS_OF_BOTH)

    def minutes(*defenses):
        cells = expand({**base_recipe(), **yaml.safe_load(RECIPE), "defenses": list(defenses)})
        return estimated_minutes(cells, 1) or 0.0

    half, whole = "my_guard:strength=0.5", "my_guard:strength=1"
    assert minutes(half) == minutes(whole)
    learning = 2 * minutes(half) - minutes(half, whole)
    assert learning > 0
    assert minutes("my_method:strength=1") + minutes("my_method") == pytest.approx(
        minutes("my_method:strength=1", "my_method")
    )


@pytest.mark.parametrize("label", ["at random", "(start)", "a+b", "Start"])
def test_a_label_that_no_name_can_hold_is_refused_before_anything_runs(
    install, tmp_path, capfd, label
):
    install(BOTH.replace('Variant("start"', f'Variant("{label}"'), POINTS_OF_BOTH)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    assert main(["bench", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert f"my_guard: variant() has label={label!r}" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
