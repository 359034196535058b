"""``__all__`` of every module: there, sorted, and all that others may take from it."""

import ast
from importlib import import_module

import pytest

from tests.layout.sources import by_kind, defined, expected, exported, imports, modules

TREES = modules()
FOUND = imports(TREES)
WITH_NAMES = [name for name, tree in TREES.items() if defined(tree)[0] or exported(tree)]


@pytest.mark.parametrize("name", WITH_NAMES)
def test_all_is_what_the_module_gives(name):
    wanted = expected(name, TREES, FOUND)
    assert exported(TREES[name]) == wanted, f"{name}: write __all__ = {wanted}"
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
    found = expected("holdfast.a", trees, imports(trees))
    assert found == wanted != exported(trees["holdfast.a"])


def test_constants_come_first_then_classes_then_functions():
    assert sorted(["f", "B", "a", "MAX", "Abc"], key=by_kind) == ["MAX", "Abc", "B", "a", "f"]
