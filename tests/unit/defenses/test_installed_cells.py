"""What a bench's cell hangs on: the code of an installed defense, and nothing more of ours."""

import sys

import pytest

import holdfast
from holdfast import defenses
from holdfast.bench.cell.cell import resolved
from holdfast.defenses.installed import code_of
from tests.unit.defenses.own_package import CODE


def test_changed_code_is_another_cell(install):
    install()
    (first,) = resolved(["my_method:strength=1"])
    assert first["strength"] == 1.0
    assert len(first["code"]) == 64
    assert resolved(["my_method:strength=1"]) == [first]
    del sys.modules["my_package"]
    install(CODE.replace("-self.strength)", "-0.9 * self.strength)"))
    (second,) = resolved(["my_method:strength=1"])
    assert second["code"] != first["code"]
    assert {**second, "code": 0} == {**first, "code": 0}


@pytest.mark.parametrize("name", defenses.built_in())
def test_what_a_built_in_ones_cell_hangs_on_stays(name):
    cls = holdfast.find(name)
    assert code_of(cls) == {}
    assert resolved([name]) == [{"name": name, **cls().config()}]
