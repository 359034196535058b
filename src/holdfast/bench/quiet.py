"""Silence for the libraries below while a command or a worker of ours shows its own progress."""

import os
import warnings

import datasets
import transformers

__all__ = ["quiet"]


def quiet() -> None:
    """Turn off progress bars, advice and warnings of the libraries below; errors still come."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
