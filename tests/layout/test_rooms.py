"""The rooms of ``docs/map.md``: imports lead down, none in a circle, and no room is crowded."""

import ast
import re
from itertools import pairwise

import pytest

from tests.layout.sources import (
    ROOT,
    SOURCE,
    circles,
    crowded,
    imports,
    lengthy,
    levels,
    modules,
    room,
    upward,
)  # fmt: skip

MAP = (ROOT / "docs" / "map.md").read_text()
ORDER = levels(MAP)


TREES = modules()


@pytest.fixture(scope="module")
def house():
    return imports(TREES)


def planted(**lines):
    """The house with one more line in each of these modules, inside a function."""
    more = {f"holdfast.{name.replace('__', '.')}": line for name, line in lines.items()}
    faults = {name: ast.parse(f"def _planted():\n    {line}") for name, line in more.items()}
    for name, fault in faults.items():
        fault.body[:0] = TREES[name].body
    return imports({**TREES, **faults})


def test_every_room_is_on_the_map_once(house):
    shown = [name for level in ORDER for name in level]
    assert sorted(shown) == sorted({room(name) for name in house})


def test_imports_lead_down(house):
    assert upward(house, ORDER) == []


def test_no_module_imports_itself_over_others(house):
    assert circles(house) == []


def test_no_room_is_crowded():
    assert crowded() == []


def test_no_function_is_long():
    assert lengthy(TREES) == []


def test_a_long_function_is_found():
    body = "\n".join(["def run():", *["    pass"] * 50])
    assert lengthy({"holdfast.planted": ast.parse(body)}) == ["holdfast.planted.run: 51"]


@pytest.mark.parametrize(
    ("module", "line", "where"),
    [
        ("ops__gradients", "from holdfast.report.page import write_report", "report is not below"),
        ("files__hashes", "import holdfast.organism.build", "organism is not below files"),
        ("claims__judge", "from holdfast.report import page", "report is not below claims"),
        ("errors", "import_module('holdfast.cli')", "cli is not below errors"),
        ("data__rows", "from holdfast import Panacea", "holdfast is not below data"),
        ("training__quiet", "from holdfast import analysis", "analysis is not below training"),
    ],
)
def test_a_planted_upward_import_is_found(module, line, where, house):
    (said,) = set(upward(planted(**{module: line}), ORDER)) - set(upward(house, ORDER))
    assert said.startswith(f"holdfast.{module.replace('__', '.')} imports holdfast")
    assert where in said


def test_a_planted_circle_is_found():
    found = circles(
        planted(
            ops__weights="from holdfast.ops.gradients import scaled",
            ops__gradients="from holdfast.ops import weights",
        )
    )
    assert ["holdfast.ops.gradients", "holdfast.ops.weights"] in found


def test_a_planted_crowd_is_found(tmp_path):
    for room_of, count in (("few", 14), ("many", 15), ("defenses", 30)):
        (tmp_path / room_of).mkdir()
        for number in range(count):
            (tmp_path / room_of / f"m{number}.py").touch()
        (tmp_path / room_of / "__init__.py").touch()
    assert crowded(tmp_path) == ["many: 15"]


def test_places_that_the_map_names_are_there():
    """A name in code marks that holds a slash is a path; one with <…> is the reader's own file."""
    paths = {p for p in re.findall(r"`([\w./<>*-]+/[\w./<>*-]*)`", MAP) if "<" not in p}
    assert len(paths) > 20
    missing = [p for p in paths if not any((base / p).exists() for base in (ROOT, SOURCE))]
    assert missing == []


def test_no_two_test_modules_have_one_name():
    """Pytest imports them by their names alone, and stops at the second."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, after in pairwise(names) if name == after] == []
