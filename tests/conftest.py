"""Quiet runs, and a heap frozen once so that each trainer's garbage collection is short."""

import gc

import datasets
import pytest
import torch
from transformers.utils import logging

pytest.register_assert_rewrite(
    "tests.contract.checks", "tests.contract.card_checks", "tests.contract.hook_checks"
)


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
