"""What a bench's cell hangs on: the code of an installed defense, and nothing more of ours."""

import sys

import pytest

import holdfast
from holdfast import defenses
from holdfast.defenses.installed import code_of
from holdfast.inputs.specs import Spec
from tests.own_package import CODE


def test_changed_code_is_another_cell(install):
    install()
    first = Spec.parse("my_method:strength=1").resolved()
    assert first["strength"] == 1.0
    assert len(first["code"]) == 64
    assert Spec.parse("my_method:strength=1").resolved() == first
    del sys.modules["my_package"]
    install(CODE.replace("-self.strength)", "-0.9 * self.strength)"))
    second = Spec.parse("my_method:strength=1").resolved()
    assert second["code"] != first["code"]
    assert {**second, "code": 0} == {**first, "code": 0}


@pytest.mark.parametrize("name", defenses.built_in())
def test_what_a_built_in_ones_cell_hangs_on_stays(name):
    cls = holdfast.find(name)
    assert code_of(cls) == {}
    assert Spec.parse(name).resolved() == {"name": name, **cls().config()}
