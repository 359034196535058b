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
    unwrapped = trainer.accelerator.unwrap_model
    bare = unwrapped(trainer.model, keep_torch_compile=False)
    # accelerate's own `keep_fp32_wrapper=False` also strips what a model's class has put around its
    # forward, such as returning tuples: its comparison never finds the method that it has kept.
    own = vars(bare).pop("_original_forward", None)
    if own is not None:
        bare.forward = own
    return unwrapped(trainer.model)
