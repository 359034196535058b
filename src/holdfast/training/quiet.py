"""Silence for the libraries below while a command or a worker of ours shows its own progress."""

import os
import warnings

import datasets
import huggingface_hub
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
    _no_telemetry()


def _no_telemetry() -> None:
    """Keep TRL's trainers from reporting each start to the hub: nothing does that unasked."""
    # The variable is for child processes; this one has read it already.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
