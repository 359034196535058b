"""What a trainer makes at its first step, made once before anything is computed.

An optimizer's package that is missing, a schedule's option that it does not know and a loader that
cannot be built are the user's options; found here, they cost no measurement.
"""

from typing import Any

import torch
from transformers import Trainer

__all__ = ["rehearse"]


def rehearse(trainer: Trainer) -> None:
    """Build the optimizer, the schedule and the loader, and forget them again.

    Random numbers are as before, and so is the trainer.

    Raises:
        Exception: Whatever the libraries raise where they cannot build one.
    """
    made: Any = trainer
    had = made.optimizer, made.lr_scheduler, made._created_lr_scheduler
    known = made.accelerator._dataloaders
    kept = list(known)
    try:
        with torch.random.fork_rng(devices=[]):
            made.create_optimizer_and_scheduler(num_training_steps=1)
            made.get_train_dataloader()
    finally:
        made.optimizer, made.lr_scheduler, made._created_lr_scheduler = had
        known[:] = kept
