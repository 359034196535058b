"""A defense of another package is found by its entry point, and a broken one breaks nothing."""

import hashlib
import re
import sys

import pytest

import holdfast
from holdfast import defenses
from holdfast.cli import main
from holdfast.defenses import DEFENSES
from holdfast.defenses.installed import code_of
from holdfast.errors import ConfigError
from holdfast.inputs.specs import Spec, build_defenses
from tests.own_package import CODE, write

OWN = list(defenses.built_in())


def test_it_is_found_by_its_name_after_the_built_in_ones(install):
    install()
    cls = holdfast.find("my_method")
    assert (cls.__module__, cls.__name__) == ("my_package", "MyMethod")
    assert list(holdfast.registry()) == [*OWN, "my_method"]
    assert holdfast.registry()["my_method"] is cls
    assert list(defenses.built_in()) == OWN


def test_it_is_built_from_a_spec(install):
    install()
    (built,) = build_defenses([Spec.parse("my_method:strength=1")], {})
    assert (built.card.name, built.strength) == ("my_method", 1.0)
    with pytest.raises(ConfigError, match="my_method: strength=2"):
        build_defenses([Spec.parse("my_method:strength=2")], {})


def test_it_is_listed_with_its_fields(install, capsys):
    install()
    assert main(["list", "--json"]) == 0
    assert '"name": "my_method"' in capsys.readouterr().out
    assert main(["list", "my_method", "--json"]) == 0
    assert "Share of the way back, in [0, 1]" in capsys.readouterr().out


def test_the_nearest_name_may_be_an_installed_one(install):
    install()
    with pytest.raises(ConfigError, match=r"my_method.*Did you mean 'my_method'"):
        holdfast.find("my_metod")


BROKEN = {
    "import error": (CODE + "\nimport nothing_of_this_name\n", "No module named 'nothing_of_th"),
    "ends python": (CODE + "\nraise SystemExit('at once')\n", "SystemExit: at once"),
    "no such class": (CODE.replace("class MyMethod", "class Other"), "no attribute 'MyMethod'"),
    "no subclass": ("class MyMethod:\n    pass\n", "no subclass of holdfast.Defense"),
    "no class": ("MyMethod = 3\n", "no subclass of holdfast.Defense"),
    "no card": (re.sub(r"    card: ClassVar.*?\n    \)\n", "", CODE, flags=re.S), "has no card"),
    "other name": (CODE.replace('"my_method"', '"your_method"'), "name='your_method'"),
    "name of ours": (CODE.replace('"my_method"', '"panacea"'), "name='panacea'; give entry"),
    "no dataclass": (CODE.replace("@dataclass\n", ""), "no dataclass; write @dataclass"),
    "no default": (CODE.replace("strength: float = 0.5", "strength: float"), "strength must have"),
    "type unknown": (CODE.replace("strength: float", 'strength: "Missing"'), "'Missing' is not"),
    "word of cells": (
        CODE.replace("    strength:", "    code: int = 0\n    strength:"),
        "code; ren",
    ),
}


@pytest.mark.parametrize(("code", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_told_when_asked_for_and_breaks_nothing(install, capsys, code, said):
    install(code)
    assert holdfast.find("panacea") is holdfast.Panacea
    assert list(holdfast.registry()) == OWN
    with pytest.raises(ConfigError, match="unknown defense 'zzz'"):
        holdfast.find("zzz")
    with pytest.raises(ConfigError) as caught:
        holdfast.find("my_method")
    told = str(caught.value)
    assert said in told, told
    assert "'my_method'" in told
    assert "my_package:MyMethod of the package my-dist" in told
    assert "\n" not in told
    assert main(["list"]) == 0
    shown = capsys.readouterr()
    assert told in shown.err
    assert "panacea" in shown.out


def test_a_built_in_name_is_not_replaced(install):
    install(CODE.replace('"my_method"', '"panacea"'), {"panacea": "my_package:MyMethod"})
    assert holdfast.find("panacea") is holdfast.registry()["panacea"] is holdfast.Panacea
    assert list(holdfast.registry()) == OWN
    assert "not replaced" in DEFENSES.unusable()["panacea"]
    assert "my_package" not in sys.modules


def test_two_packages_with_one_name_are_both_refused(install):
    install()
    install(package="other_package", dist="other", points={"my_method": "other_package:MyMethod"})
    assert list(holdfast.registry()) == OWN
    with pytest.raises(ConfigError, match="uninstall one") as caught:
        holdfast.find("my_method")
    assert "package my-dist" in str(caught.value)
    assert "package other" in str(caught.value)


@pytest.mark.parametrize("name", ["none", "before", "my-method", "My"])
def test_a_name_that_no_spec_can_hold_is_refused(install, name):
    install(CODE.replace('"my_method"', f'"{name}"'), {name: "my_package:MyMethod"})
    assert list(holdfast.registry()) == OWN
    with pytest.raises(ConfigError, match="the name must be small letters"):
        holdfast.find(name)


def test_a_malformed_file_of_another_package_hides_no_method(install):
    install()
    site = install("", package="other_package", dist="other")
    write(site / "other-1.0.dist-info" / "entry_points.txt", "[console_scripts]\nno equals sign\n")
    DEFENSES.forget()
    assert holdfast.find("my_method").__module__ == "my_package"


def test_a_package_that_is_there_twice_is_one(install):
    install()
    site = install(package="other_package", dist="elsewhere")
    write(site / "elsewhere-1.0.dist-info" / "METADATA", "Name: my-dist\nVersion: 2.0\n")
    DEFENSES.forget()
    assert holdfast.find("my_method").card.name == "my_method"


def test_what_a_module_prints_stays_out_of_json(install, capsys):
    install("print('hello')\n" + CODE)
    assert main(["list", "--json"]) == 0
    assert "hello" not in capsys.readouterr().out


def test_a_file_edited_after_it_was_loaded_changes_no_cell(install, tmp_path):
    install()
    cls = holdfast.find("my_method")
    write(tmp_path / "my-dist" / "my_package" / "__init__.py", CODE + "# edited\n")
    assert code_of(cls) == {"code": hashlib.sha256(CODE.encode()).hexdigest()}


def test_code_that_cannot_be_read_is_told(install):
    install()
    cls = type("Made", (holdfast.find("my_method"),), {"__module__": "nowhere"})
    with pytest.raises(ConfigError, match=r"my_method.*cannot be read"):
        code_of(cls)
