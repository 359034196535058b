"""A package with a defense of its own, installed for one test."""

import pytest

from holdfast.defenses import DEFENSES
from tests.unit.defenses.own_package import CODE, POINTS, install_in, uninstall


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package with a defense; by default the one of the page."""

    def add(code=CODE, points=POINTS, package="my_package", dist="my-dist"):
        site = tmp_path / dist
        install_in(site, code, points, package, dist)
        monkeypatch.syspath_prepend(site)
        DEFENSES.forget()
        return site

    yield add
    monkeypatch.undo()
    uninstall()
