"""Silence for the libraries below while a command or a worker of ours shows its own progress."""

import os
import warnings

import datasets
import huggingface_hub
import transformers

__all__ = ["no_telemetry", "quiet"]


def quiet() -> None:
    """Turn off progress bars, advice and warnings of the libraries below; errors still come."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # For child processes; this one has read it.
    no_telemetry()


def no_telemetry() -> None:
    """Keep TRL's trainers from reporting each start to the hub: nothing does that unasked."""
    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True
