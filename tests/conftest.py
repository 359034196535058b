"""Quiet runs, no deadlines, and a heap frozen once so that each garbage collection is short."""

import gc

import datasets
import pytest
import torch
from hypothesis import HealthCheck, settings
from transformers.utils import logging

pytest.register_assert_rewrite(
    "tests.contract.checks", "tests.contract.card_checks", "tests.contract.hook_checks"
)
# A busy machine makes examples slow, and that is no fault of what is tested.
settings.register_profile("holdfast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("holdfast")


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
