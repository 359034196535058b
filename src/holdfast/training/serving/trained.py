"""The model that a finished trainer holds, as it is saved and as everybody else will load it."""

from typing import Any

__all__ = ["trained_model"]


def trained_model(trainer: Any) -> Any:
    """Return the trained model without what distribution and mixed precision put around it.

    accelerate's mixed precision stays in a model's forward after training: answers would be read in
    bfloat16 here, and in the weights' own precision from the folder that is saved.

    Args:
        trainer: A Hugging Face Trainer whose ``train`` has returned.
    """
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
