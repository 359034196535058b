"""``__all__`` of every module: there, sorted, and all that others may take from it."""

import ast
from importlib import import_module

import pytest

from tests.layout.sources import by_kind, expected, exported, imports, is_public, modules
from tests.layout.write_names import with_all

TREES = modules()
FOUND = imports(TREES)


@pytest.mark.parametrize("name", [name for name in TREES if is_public(name, TREES, FOUND)])
def test_all_is_what_the_module_gives(name):
    wanted = expected(name, TREES, FOUND)
    assert exported(TREES[name]) == wanted, f"{name}: run `make fix`"
    module = import_module(name)
    missing = [n for n in wanted if not hasattr(module, n)]
    assert not missing


def test_no_module_takes_a_private_name_of_another():
    private = [
        f"{user} takes {what} of {module}"
        for user, targets in FOUND.items()
        for module, what in targets
        if what.startswith("_") and not what.startswith("__")
    ]
    assert private == []


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("def f(): ...", ["f"]),  # No __all__.
        ("__all__ = ['f']\ndef f(): ...\nclass B: ...", ["B", "f"]),
        ("__all__ = ['f', 'B']\ndef f(): ...\nclass B: ...", ["B", "f"]),
        ("__all__ = ['f']\nK = 1\nL = 2\ndef f(): ...\ndef _g(): ...", ["K", "f"]),
        ("__all__ = []\nX: int = 1\nasync def f(): ...", ["f"]),
    ],
)
def test_a_planted_fault_is_found(source, wanted):
    trees = {"holdfast.a": ast.parse(source), "holdfast.b": ast.parse("from holdfast.a import K")}
    found = imports(trees)
    assert is_public("holdfast.a", trees, found)
    assert expected("holdfast.a", trees, found) == wanted != exported(trees["holdfast.a"])


def test_constants_come_first_then_classes_then_functions():
    assert sorted(["f", "B", "a", "MAX", "Abc"], key=by_kind) == ["MAX", "Abc", "B", "a", "f"]


def test_what_make_fix_writes_is_right_and_leaves_the_rest():
    source = '"""Doc."""\n\nimport ast\n\nX = 1\n\n\ndef f(): ...\n'
    once = with_all(source, ["f"])
    assert once == '"""Doc."""\n\nimport ast\n\n__all__ = ["f"]\n\nX = 1\n\n\ndef f(): ...\n'
    names = [f"a_long_name_{n}" for n in range(40)]
    many = with_all(once, names)
    assert exported(ast.parse(many)) == names
    assert max(map(len, many.splitlines())) <= 100
    assert with_all(many, ["f"]) == once
