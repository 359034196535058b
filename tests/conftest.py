"""Quiet runs, no deadlines, and a heap frozen once so that each garbage collection is short."""

import gc
import os
import signal
from collections import defaultdict
from itertools import count

import datasets
import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers.utils import logging

# The suite compares bits and forks processes: a GPU's kernels keep no bits, and it bears no fork.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
pytest.register_assert_rewrite(
    "tests.contract.checks", "tests.contract.card_checks", "tests.contract.hook_checks"
)
# A busy machine makes examples slow, and that is no fault of what is tested.
settings.register_profile("holdfast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("holdfast")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package; by default the one with a defense of ``docs/own_method.md``."""
    from tests.own_package import CODE, POINTS, install_in, look_again, uninstall  # noqa: PLC0415

    def add(code=CODE, points=POINTS, package="my_package", dist="my-dist", groups=None):
        site = tmp_path / dist
        install_in(site, code, groups or {"holdfast.defenses": points}, package, dist)
        monkeypatch.syspath_prepend(site)
        look_again()
        return site

    yield add
    monkeypatch.undo()
    uninstall()


@pytest.fixture(autouse=True)
def _usual_ctrl_c():
    """Ray and inspect-ai, once they ran in this process, leave handlers of their own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    datasets.disable_progress_bars()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore:.*gradient_checkpointing:FutureWarning")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked ``engines`` unless ``-m`` names it, and mark what is thorough."""
    if "engines" not in config.option.markexpr:
        dear = [item for item in items if item.get_closest_marker("engines")]
        config.hook.pytest_deselected(items=dear)
        items[:] = [item for item in items if item not in set(dear)]
    _mark_thorough(items)


def _mark_thorough(items):
    """Mark as ``thorough`` what daily work leaves out of the many cases of dear tests.

    Of a contract's check one case in thirty-seven stays, shifted from check to check; of the tests
    of a defense or a suite the first.
    """
    cases = defaultdict(count)
    for item in (item for item in items if hasattr(item, "callspec")):
        check = (item.path, item.function.__qualname__)
        number = next(cases[check])
        contract = "contract" in item.path.parts and (number + len(cases)) % 37
        if contract or (number and {"defenses", "testing"} & set(item.path.parts)):
            item.add_marker(pytest.mark.thorough)
