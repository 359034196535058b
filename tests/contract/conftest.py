"""Of many like cases one for each defense is for daily work; the others are ``thorough``."""

import pytest


def pytest_collection_modifyitems(items):
    seen = set()
    for item in items:
        if item.path.parent.name != "contract" or not hasattr(item, "callspec"):
            continue
        given = item.callspec.params
        recipe = given.get("make", given.get("left"))
        case = (item.path, item.function.__qualname__, getattr(recipe, "cls", None))
        if case in seen:
            item.add_marker(pytest.mark.thorough)
        seen.add(case)
