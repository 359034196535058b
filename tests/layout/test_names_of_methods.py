"""No code outside a method's own folder knows the method's name: what it needs, the method says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import defenses
from tests.layout.sources import SOURCE

OWN = ("defenses/", "__init__.py", "bench/recipes/", "claims/papers/")
"""Where methods are named: their folders, the list of them, recipes, claims."""
CHOSEN = {("inputs/configs.py", "panacea")}
"""A default that was chosen for a user who names no method."""
KINDS = (".py", ".j2", ".yaml", ".css", ".js")


def pattern() -> re.Pattern[str]:
    """Match each built-in method as a word, by its registry name, its class, or in plain words."""
    known = defenses.built_in()
    words = {name.replace("_", "[ _-]?") for name in known} | {c.__name__ for c in known.values()}
    return re.compile(rf"(?<![a-z])({'|'.join(sorted(words))})(?![a-z])", re.IGNORECASE)


def spoken(text: str) -> Iterator[str]:
    """Yield the names and strings of a Python source; docstrings, which may cite a paper, not."""
    tree = ast.parse(text)
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value
        for part in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(found := getattr(node, part, None), str):
                yield found


def leaks(file: str, text: str) -> list[str]:
    """Return the methods that a file of the package names and should not know."""
    if file.startswith(OWN):
        return []
    words = spoken(text) if file.endswith(".py") else [text]
    found = {match[0] for word in words for match in pattern().finditer(word)}
    return sorted(f"{file}: {name}" for name in found if (file, name) not in CHOSEN)


def files(source: Path = SOURCE) -> dict[str, str]:
    """Return the text of every source and template by its path in the package."""
    return {
        file.relative_to(source).as_posix(): file.read_text()
        for file in sorted(source.rglob("*"))
        if file.suffix in KINDS
    }


def test_no_file_outside_a_methods_folder_knows_its_name():
    assert [leak for file, text in files().items() for leak in leaks(file, text)] == []


def test_what_was_chosen_is_still_there():
    assert all(name in files()[file] for file, name in CHOSEN)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("bench/cell/learned.py", "from holdfast.defenses.security_vectors import SecurityVectors"),
        ("claims/arms.py", 'run.diagnostics.get("panacea")'),
        ("comparisons/fronts.py", 'BASELINES = ("safe_mixing",)'),
        ("report/page.py", 'title = f"SWAT on {model}"'),
        ("report/page.py", "def vaccine_of(arm): ..."),
        ("bench/arms.py", "ml_lr = 1"),
        ("bench/arms.py", "tune(lisa=2)"),
        ("report/templates/page.html.j2", "<h2>Panacea's frontier</h2>"),
        ("inputs/configs.py", 'method = "resta"'),
    ],
)
def test_a_planted_name_is_found(file, text):
    assert leaks(file, text)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("ops/lookahead.py", '"""The term of Panacea and of Booster."""'),
        ("bench/arms.py", "restated = swatch = 1"),
        ("defenses/swat/swat.py", "class SWAT: ..."),
        ("bench/recipes/full.yaml", "defenses: [ml_lr]"),
    ],
)
def test_papers_methods_and_recipes_may_name_them(file, text):
    assert leaks(file, text) == []
