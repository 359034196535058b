"""Cards are complete, and what they show runs."""

import inspect
from pathlib import Path

import pytest

import holdfast
from holdfast import defenses
from tests.contract import card_checks
from tests.contract.recipes import Recipe, recipes

FOLDERS = sorted(
    f for f in Path(defenses.__file__).parent.iterdir() if (f / "__init__.py").is_file()
)
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name)
every_defense = pytest.mark.parametrize("name", holdfast.registry())
every_built_in = pytest.mark.parametrize("name", defenses.built_in())


@every_defense
@pytest.mark.parametrize(
    "check",
    [card_checks.check_card, card_checks.check_fields, card_checks.check_constructor],
    ids=lambda c: c.__name__,
)
def test_card(check, name):
    check(holdfast.registry()[name])


@pytest.mark.parametrize("make", recipes(), ids=lambda r: r.label)
def test_config(make):
    card_checks.check_config(make)


def test_every_defense_has_a_folder_and_every_folder_a_defense():
    homes = {Path(inspect.getfile(cls)).parent for cls in defenses.built_in().values()}
    assert homes == set(FOLDERS)


@every_built_in
def test_registered_under_the_name_on_the_card(name):
    cls = holdfast.registry()[name]
    assert cls.card.name == name
    assert holdfast.find(name) is cls
    assert Path(inspect.getfile(cls)).parent.name == name


@every_folder
def test_card_file_is_complete(folder):
    card_checks.check_card_file(folder / "card.md")


@every_folder
def test_example_of_the_card_runs(folder, capsys):
    card_checks.check_example(folder / "card.md")


def test_a_defense_that_cannot_be_built_says_what_to_add():
    from tests.contract.probes import NeedsRows  # noqa: PLC0415

    class Hungry(NeedsRows):
        def validate(self) -> None:
            raise holdfast.InputError("needs more")

    with pytest.raises(AssertionError, match=r"needs_rows cannot be built .*needs more.*settings"):
        Recipe(Hungry, "default")()
